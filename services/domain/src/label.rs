//! Stable names of the values of an enum, as they stand in `SPEC.md`, in SQL and in logs.
//!
//! A name once given is stored, so it never changes; a value that is no longer used keeps it.

/// A text is none of the names of the enum it was read as. The caller knows the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a name of {expected}")]
pub struct UnknownLabel {
    /// The enum that was expected.
    pub expected: &'static str,
}

/// Gives a field-less enum its names: `ALL`, `as_str`, `Display` and `FromStr`.
macro_rules! labels {
    ($name:ident { $($variant:ident => $label:literal),+ $(,)? }) => {
        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the stable name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $label),+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::label::UnknownLabel;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($label => Ok(Self::$variant),)+
                    _ => Err($crate::label::UnknownLabel {
                        expected: stringify!($name),
                    }),
                }
            }
        }
    };
}

pub(crate) use labels;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{attribution::Reason, merge_policy::Preset, sign_in::OutcomeKind};

    #[test]
    fn every_name_reads_back_as_its_value() {
        for kind in OutcomeKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        for reason in Reason::ALL {
            assert_eq!(reason.to_string().parse(), Ok(*reason));
        }
    }

    #[test]
    fn another_name_is_refused() {
        assert_eq!(
            "v4_4".parse::<Preset>(),
            Err(UnknownLabel { expected: "Preset" })
        );
    }
}
