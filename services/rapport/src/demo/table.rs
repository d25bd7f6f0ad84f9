//! Prints the rows of the demo, each as soon as it is known.

use super::story::{Row, expected};

/// Prints rows, and counts those that are not what the document says.
pub(super) struct Printer {
    json: bool,
    wrong: usize,
    preset: &'static str,
}

impl Printer {
    /// Returns a printer of a table, or of one JSON object a line.
    pub(super) fn new(json: bool) -> Self {
        if !json {
            crate::say!(
                "{:<15} {:<4} {:<8} {:<14} {:>8} {:>7} {:>6} {:>9}",
                "preset",
                "case",
                "e-mail",
                "outcome",
                "visitor",
                "Member",
                "kept",
                "credited"
            );
        }
        Self {
            json,
            wrong: 0,
            preset: "",
        }
    }

    /// Prints a row.
    pub(super) fn print(&mut self, row: &Row) -> anyhow::Result<()> {
        let expected = expected(row);
        let right = *row == expected;
        self.wrong += usize::from(!right);
        if self.json {
            crate::say!("{}", serde_json::to_string(row)?);
        } else {
            self.print_text(row);
        }
        if !right {
            eprintln!("the document says: {expected:?}");
        }
        Ok(())
    }

    fn print_text(&mut self, row: &Row) {
        let preset = if row.preset == self.preset {
            ""
        } else {
            row.preset
        };
        self.preset = row.preset;
        let email = match row.case {
            1 | 2 if row.email_differs => "differs",
            1 | 2 => "same",
            _ => "",
        };
        let yes = |answer: bool| if answer { "yes" } else { "no" };
        crate::say!(
            "{:<15} {:<4} {:<8} {:<14} {:>8} {:>7} {:>6} {:>9}",
            preset,
            row.case,
            email,
            row.outcome,
            row.visitor_chatrooms,
            row.member_chatrooms,
            yes(row.messages_kept),
            yes(row.credited),
        );
    }

    /// Says how it went.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.wrong == 0,
            "{} rows are not what the document says",
            self.wrong
        );
        if !self.json {
            crate::say!("Every row is as the product document says.");
        }
        Ok(())
    }
}
