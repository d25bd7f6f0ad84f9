//! What operators do about events that a service could not apply: look at them, and have them replayed.

use anyhow::Context;
use clap::{Args, Subcommand};
use kit::{
    broker::{Broker, DeadLetter, DeadLetters},
    config::{ConfigError, SuiteArgs},
};

/// What to do with the events that were set aside.
#[derive(Subcommand)]
pub enum EventsCommand {
    /// Prints them, one a line: number, time, whose event, who could not apply it, event id, reason.
    List,
    /// Has the services read them once more; those that fail again are set aside again.
    Replay(ReplayArgs),
}

/// Which of them.
#[derive(Args)]
pub struct ReplayArgs {
    /// Their numbers, as `list` prints them [default: all].
    numbers: Vec<u64>,
}

/// Carries out the command on the broker of `RAPPORT_EVENTS_URL`.
///
/// # Errors
///
/// When there is no broker, when it does not answer, or when a number is nobody's.
pub async fn run(args: &SuiteArgs, command: &EventsCommand) -> anyhow::Result<()> {
    let broker = Broker::open(args.broker()?.as_ref(), "events").await?;
    let broker = broker.ok_or_else(|| ConfigError::Invalid {
        setting: "RAPPORT_EVENTS_URL",
        problem: "names no broker, and only a broker sets events aside".to_owned(),
    })?;
    let dead_letters = DeadLetters::open(&broker).await?;
    let mut letters = dead_letters.list().await?;
    match command {
        EventsCommand::List => letters.iter().for_each(print),
        EventsCommand::Replay(ReplayArgs { numbers }) => {
            if let Some(number) = numbers.iter().find(|number| !has(&letters, **number)) {
                anyhow::bail!("no event {number} is set aside");
            }
            letters.retain(|letter| numbers.is_empty() || numbers.contains(&letter.sequence));
            for letter in &letters {
                let replayed = dead_letters.replay(letter).await;
                replayed.with_context(|| format!("event {} is not replayed", letter.sequence))?;
            }
            crate::say!("{} replayed", letters.len());
        }
    }
    Ok(())
}

fn has(letters: &[DeadLetter], number: u64) -> bool {
    letters.iter().any(|letter| letter.sequence == number)
}

fn print(letter: &DeadLetter) {
    let event_id = letter.event.as_ref().map_or("-", |event| &event.event_id);
    crate::say!(
        "{}  {}  {} -> {}  {event_id}  {}",
        letter.sequence,
        letter.set_aside_time.format("%FT%TZ"),
        letter.log,
        letter.consumer,
        letter.reason
    );
}
