//! Figures: a table for people, or one JSON object a line.

use serde::Serialize;

/// Prints each figure as soon as it is known.
pub(super) struct Report {
    json: bool,
}

#[derive(Serialize)]
struct Line<'a, T> {
    name: &'a str,
    value: T,
    unit: &'a str,
}

impl Report {
    /// Returns a report as a table, or with `json` as JSON objects with `name`, `value` and `unit`.
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a number with its unit.
    ///
    /// # Errors
    ///
    /// When it is no number that JSON knows.
    pub(super) fn figure(&self, name: &str, value: f64, unit: &str) -> anyhow::Result<()> {
        if self.json {
            crate::say!("{}", serde_json::to_string(&Line { name, value, unit })?);
        } else {
            crate::say!("{name:<34} {value:>12.3} {unit}");
        }
        Ok(())
    }

    /// Prints a number of things.
    ///
    /// # Errors
    ///
    /// None that a number can cause.
    pub(super) fn count(&self, name: &str, value: usize) -> anyhow::Result<()> {
        self.figure(name, f64::from(u32::try_from(value)?), "count")
    }

    /// Prints what the figures hold for; its unit is `text`.
    ///
    /// # Errors
    ///
    /// None that a text can cause.
    pub(super) fn fact(&self, name: &str, value: &str) -> anyhow::Result<()> {
        if self.json {
            let unit = "text";
            crate::say!("{}", serde_json::to_string(&Line { name, value, unit })?);
        } else {
            crate::say!("{name:<34} {value}");
        }
        Ok(())
    }
}

/// Says on standard error how far the run has come.
pub(super) fn progress(what: &str) {
    eprintln!("bench: {what}");
}

/// Returns the median, of an even number the upper of the two in the middle; 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(vec![]), 0.0);
    }
}
