//! The values of a cell: amounts without floats, and times with or without a time of day.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use domain::money::Currency;

/// Returns an amount in minor units: `12.5` euros are 1250 cents.
///
/// # Errors
///
/// What is wrong with the text; never the text itself.
pub(super) fn amount(text: &str, currency: Currency) -> Result<i64, String> {
    let decimals = currency.decimals();
    let wrong = || format!("must be an amount such as 12{}", example(decimals));
    let (whole, part) = match text.split_once('.') {
        Some((_, "")) => return Err(wrong()),
        Some((whole, part)) => (whole, part),
        None => (text, ""),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) {
        return Err(wrong());
    }
    let given = u32::try_from(part.len()).unwrap_or(u32::MAX);
    let Some(missing) = decimals.checked_sub(given) else {
        return Err(format!(
            "has more than the {decimals} decimals of {currency}"
        ));
    };
    let number: Result<i64, _> = format!("{whole}{part}").parse();
    number
        .ok()
        .and_then(|number| number.checked_mul(10_i64.pow(missing)))
        .ok_or_else(|| "is too large".to_owned())
}

fn example(decimals: u32) -> &'static str {
    match decimals {
        0 => "",
        3 => ".500",
        4 => ".5000",
        _ => ".50",
    }
}

/// Returns an instant:
///
/// | text                         | is                                                    |
/// |------------------------------|-------------------------------------------------------|
/// | `2026-11-22T18:30:00+01:00`  | that instant (RFC 3339)                               |
/// | `2026-11-22T18:30[:00[.5]]`  | that time in `zone`; refused where clocks skip it     |
/// | `2026-11-22`                 | the end of that day in `zone`, its last microsecond   |
///
/// A space may stand for the `T`. Where clocks show a time twice it is the earlier one, and the end of
/// a day the later one. `zone` is absent where nobody knows the Brand's.
///
/// # Errors
///
/// What is wrong with the text; never the text itself.
pub(super) fn instant(text: &str, zone: Option<Tz>) -> Result<DateTime<Utc>, String> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Ok(instant.to_utc());
    }
    let zone = || zone.ok_or("needs an offset, or --time-zone, since the Brand's is not known");
    let local = text.replacen(' ', "T", 1);
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(local) = NaiveDateTime::parse_from_str(&local, format) {
            let instant = zone()?.from_local_datetime(&local).earliest();
            let instant = instant.ok_or("is a time that the clocks of the time zone skip")?;
            return Ok(instant.to_utc());
        }
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d");
    let date = date.map_err(|_| "must be a date such as 2026-11-22, or a date and time")?;
    let last = NaiveTime::MIN - TimeDelta::microseconds(1);
    let end = zone()?.from_local_datetime(&date.and_time(last)).latest();
    let end = end.ok_or("is a day whose end the clocks of the time zone skip")?;
    Ok(end.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_amount(text: &str, currency: &str, expected: Option<i64>) {
        let found = amount(text, Currency::parse(currency).unwrap());
        assert_eq!(found.ok(), expected, "{text} {currency}");
    }

    #[test]
    fn amounts_are_read_by_the_decimals_of_the_currency() {
        check_amount("12", "EUR", Some(1_200)); // SPEC 46
        check_amount("12.5", "EUR", Some(1_250));
        check_amount("0.07", "EUR", Some(7));
        check_amount("1234", "JPY", Some(1_234));
        check_amount("1.5", "KWD", Some(1_500));
        check_amount("92233720368547758.07", "EUR", Some(i64::MAX));
        for wrong in [
            "",
            "-1",
            "+1",
            "1,50",
            "1.",
            ".5",
            "1.234",
            "1e3",
            "92233720368547758.08",
        ] {
            check_amount(wrong, "EUR", None);
        }
        check_amount("1.0", "JPY", None);
    }

    fn check(text: &str, zone: Tz, expected: Option<&str>) {
        let found = instant(text, Some(zone)).ok();
        let expected = expected.map(|text| DateTime::parse_from_rfc3339(text).unwrap().to_utc());
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_date_alone_is_the_end_of_that_day_in_the_time_zone() {
        let berlin = Tz::Europe__Berlin;
        check("2026-11-22", berlin, Some("2026-11-22T22:59:59.999999Z"));
        check("2026-07-01", berlin, Some("2026-07-01T21:59:59.999999Z"));
        check("2026-11-22T18:30", berlin, Some("2026-11-22T17:30:00Z"));
        check(
            "2026-11-22 18:30:01.25",
            berlin,
            Some("2026-11-22T17:30:01.250Z"),
        );
        check(
            "2026-11-22T18:30:00-05:00",
            berlin,
            Some("2026-11-22T23:30:00Z"),
        );
        // Shown twice, and skipped.
        check("2026-10-25T02:30", berlin, Some("2026-10-25T00:30:00Z"));
        check("2026-03-29T02:30", berlin, None);
        // The midnight after it is skipped; the day ends all the same.
        check(
            "2026-09-05",
            Tz::America__Santiago,
            Some("2026-09-06T03:59:59.999999Z"),
        );
        for wrong in [
            "",
            "22.11.2026",
            "2026-13-01",
            "2026-11-22T25:00",
            "tomorrow",
        ] {
            check(wrong, berlin, None);
        }
        assert!(instant("2026-11-22", None).is_err());
        assert!(instant("2026-11-22T00:00:00Z", None).is_ok());
    }
}
