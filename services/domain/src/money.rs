//! Money in whole minor units, and its division without losing one.
//!
//! | operation              | guarantees                                                          |
//! |------------------------|---------------------------------------------------------------------|
//! | [`Money::amount`]      | 0 to [`Money::LARGEST`]: what orders and refunds carry              |
//! | [`Money::checked_add`], [`Money::checked_sub`] | one currency, no overflow, or an error      |
//! | [`Money::split`]       | shares + remainder = amount, each share in proportion, rounded towards zero |
//! | [`Money::portion`]     | rounded towards zero; never more than the amount                    |
//!
//! There are no floats, and no conversion between currencies. Source: SPEC 40, 43, 46.

mod currency;

pub use currency::{Currency, UnknownCurrency};

/// An amount of money. Ordered by currency, then by amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money {
    currency: Currency,
    minor_units: i64,
}

/// What [`Money::split`] gives: `shares` and `remainder` sum to the amount, to the minor unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// One for each weight, in the order of the weights.
    pub shares: Vec<Money>,
    /// What could not be divided: the house's.
    pub remainder: Money,
}

/// A part of something in millionths: 0 to 1,000,000. 50,000 is 5 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartsPerMillion(u32);

/// An amount cannot be what it was meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Below zero where it may not be.
    #[error("must not be negative")]
    Negative,
    /// Of two currencies where one is needed.
    #[error("must be in {expected}, not {found}")]
    MixedCurrencies {
        /// The currency of the first amount.
        expected: Currency,
        /// The currency of the other.
        found: Currency,
    },
    /// More than an order or a refund may come to.
    #[error("must be at most {} minor units", Money::LARGEST)]
    TooLarge,
    /// Beyond 64 bits of minor units.
    #[error("is too large")]
    Overflow,
    /// More than the whole.
    #[error("must be at most {} parts per million", PartsPerMillion::WHOLE)]
    MoreThanWhole,
}

impl Money {
    /// What an order or a refund comes to at most, in minor units: ten thousand million euros. Nine million
    /// of these sum to less than 64 bits hold, so that no balance can leave them.
    pub const LARGEST: i64 = 1_000_000_000_000;

    /// Returns an amount that may be negative, as the entries of the ledger are.
    pub const fn new(minor_units: i64, currency: Currency) -> Self {
        Self {
            currency,
            minor_units,
        }
    }

    /// Returns an amount that an order or a refund may come to.
    ///
    /// # Errors
    ///
    /// [`MoneyError::Negative`] and [`MoneyError::TooLarge`]. Source: SPEC 46.
    pub const fn amount(minor_units: i64, currency: Currency) -> Result<Self, MoneyError> {
        if minor_units < 0 {
            return Err(MoneyError::Negative);
        }
        if minor_units > Self::LARGEST {
            return Err(MoneyError::TooLarge);
        }
        Ok(Self::new(minor_units, currency))
    }

    /// Returns nothing, in `currency`.
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// Returns how many minor units it is: cents of an euro, whole yen.
    pub const fn minor_units(self) -> i64 {
        self.minor_units
    }

    /// Returns its currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Returns the sum.
    ///
    /// # Errors
    ///
    /// [`MoneyError::MixedCurrencies`] and [`MoneyError::Overflow`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.combined(other, i64::checked_add)
    }

    /// Returns the difference, which may be negative.
    ///
    /// # Errors
    ///
    /// [`MoneyError::MixedCurrencies`] and [`MoneyError::Overflow`].
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.combined(other, i64::checked_sub)
    }

    /// Divides it in proportion to `weights`, each share rounded towards zero; what is left is the
    /// remainder. Where the weights are none or all zero, everything is left.
    ///
    /// Source: SPEC 40.
    pub fn split(self, weights: &[u32]) -> Split {
        let whole: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let shares: Vec<Self> = weights
            .iter()
            .map(|weight| self.fraction(u64::from(*weight), whole))
            .collect();
        // Shares have the sign of the amount and never sum past it, so this cannot saturate.
        let remainder = shares.iter().fold(self.minor_units, |left, share| {
            left.saturating_sub(share.minor_units)
        });
        Split {
            shares,
            remainder: Self::new(remainder, self.currency),
        }
    }

    /// Returns the part of it, rounded towards zero.
    ///
    /// Source: SPEC 43.
    pub fn portion(self, part: PartsPerMillion) -> Self {
        self.fraction(u64::from(part.0), u64::from(PartsPerMillion::WHOLE))
    }

    /// `numerator` is at most `denominator`; of a denominator of zero every fraction is nothing.
    fn fraction(self, numerator: u64, denominator: u64) -> Self {
        let product = i128::from(self.minor_units) * i128::from(numerator);
        let quotient = product.checked_div(i128::from(denominator)).unwrap_or(0);
        let minor_units =
            i64::try_from(quotient).expect("a fraction of 64 bits is no longer than 64 bits");
        Self::new(minor_units, self.currency)
    }

    fn combined(
        self,
        other: Self,
        operation: fn(i64, i64) -> Option<i64>,
    ) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::MixedCurrencies {
                expected: self.currency,
                found: other.currency,
            });
        }
        let minor_units =
            operation(self.minor_units, other.minor_units).ok_or(MoneyError::Overflow)?;
        Ok(Self::new(minor_units, self.currency))
    }
}

impl PartsPerMillion {
    /// All of it.
    pub const WHOLE: u32 = 1_000_000;

    /// Returns so many millionths.
    ///
    /// # Errors
    ///
    /// [`MoneyError::MoreThanWhole`].
    pub const fn new(parts: u32) -> Result<Self, MoneyError> {
        if parts > Self::WHOLE {
            return Err(MoneyError::MoreThanWhole);
        }
        Ok(Self(parts))
    }

    /// Returns how many millionths: 0 to 1,000,000.
    pub const fn parts(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn eur(minor_units: i64) -> Money {
        Money::new(minor_units, Currency::parse("EUR").unwrap())
    }

    fn check_split(minor_units: i64, weights: &[u32], shares: &[i64], remainder: i64) {
        let split = eur(minor_units).split(weights);
        let found: Vec<i64> = split
            .shares
            .iter()
            .map(|share| share.minor_units())
            .collect();
        assert_eq!(
            (found.as_slice(), split.remainder),
            (shares, eur(remainder))
        );
    }

    #[test]
    fn what_cannot_be_divided_is_left() {
        check_split(100, &[1, 1, 1], &[33, 33, 33], 1); // SPEC 40
        check_split(100, &[1], &[100], 0);
        check_split(100, &[1, 3], &[25, 75], 0);
        check_split(1, &[1, 1], &[0, 0], 1);
        check_split(0, &[1, 2], &[0, 0], 0);
        check_split(100, &[], &[], 100);
        check_split(100, &[0, 0], &[0, 0], 100);
        check_split(-100, &[1, 1, 1], &[-33, -33, -33], -1);
        check_split(i64::MAX, &[u32::MAX], &[i64::MAX], 0);
        check_split(i64::MIN, &[u32::MAX], &[i64::MIN], 0);
    }

    #[test]
    fn a_portion_is_rounded_down() {
        let five_percent = PartsPerMillion::new(50_000).unwrap();
        assert_eq!(eur(1_999).portion(five_percent), eur(99)); // SPEC 43: floor(99.95)
        let whole = PartsPerMillion::new(PartsPerMillion::WHOLE).unwrap();
        assert_eq!(eur(i64::MAX).portion(whole), eur(i64::MAX));
        assert_eq!(eur(7).portion(PartsPerMillion::default()), eur(0));
        assert_eq!(
            PartsPerMillion::new(1_000_001),
            Err(MoneyError::MoreThanWhole)
        );
    }

    #[test]
    fn negative_huge_and_mixed_amounts_are_refused() {
        let (expected, found) = (eur(0).currency(), Currency::parse("USD").unwrap());
        assert_eq!(Money::amount(-1, expected), Err(MoneyError::Negative)); // SPEC 46
        let largest = Money::LARGEST;
        assert_eq!(Money::amount(largest, expected), Ok(eur(largest)));
        let too_large = Money::amount(largest + 1, expected);
        assert_eq!(too_large, Err(MoneyError::TooLarge));
        assert_eq!(
            eur(1).checked_add(Money::zero(found)),
            Err(MoneyError::MixedCurrencies { expected, found })
        );
        assert_eq!(eur(i64::MAX).checked_add(eur(1)), Err(MoneyError::Overflow));
        assert_eq!(eur(1).checked_sub(eur(3)), Ok(eur(-2)));
    }

    proptest! {
        #[test]
        fn shares_and_remainder_sum_to_the_amount(
            minor_units: i64,
            weights in vec(any::<u32>(), 0..8),
        ) {
            let split = eur(minor_units).split(&weights);
            let shares: i128 = split.shares.iter().map(|share| i128::from(share.minor_units())).sum();
            let remainder = i128::from(split.remainder.minor_units());
            prop_assert_eq!(shares + remainder, i128::from(minor_units)); // SPEC 40
        }

        #[test]
        fn equal_weights_leave_less_than_one_unit_each(
            minor_units in 0..=i64::MAX,
            members in 1..9_usize,
        ) {
            let split = eur(minor_units).split(&vec![1; members]);
            prop_assert!(split.shares.iter().all(|share| *share == split.shares[0]));
            prop_assert!((0..members as i64).contains(&split.remainder.minor_units()));
        }
    }
}
