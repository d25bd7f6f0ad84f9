//! Which of the chatrooms that qualify is credited. The third table of [`super`].

use std::{cmp::Reverse, collections::BTreeMap};

use super::Reason;
use crate::{
    attribution_policy::Model,
    evidence::Conversation,
    id::{ChatroomId, MemberId},
};

/// The chatrooms that qualify.
pub(super) type Contestants = BTreeMap<ChatroomId, (MemberId, Conversation)>;

/// Returns for each contestant whether it is credited: exactly one per credited Member.
///
/// Source: SPEC 40.
pub(super) fn decide_contest(
    model: Model,
    contestants: &Contestants,
) -> BTreeMap<ChatroomId, Reason> {
    let all = || contestants.iter().map(|(id, (_, talk))| (*id, talk));
    let (winners, credited, beaten): (Vec<ChatroomId>, _, _) = match model {
        Model::LastTouch => (
            last_touch(all()).into_iter().collect(),
            Reason::Won,
            Reason::LessRecent,
        ),
        Model::FirstTouch => (
            first_touch(all()).into_iter().collect(),
            Reason::Won,
            Reason::LessEarly,
        ),
        Model::EvenSplit => (
            last_of_each(contestants),
            Reason::Shared,
            Reason::LessRecent,
        ),
    };
    contestants
        .keys()
        .map(|id| {
            (
                *id,
                if winners.contains(id) {
                    credited
                } else {
                    beaten
                },
            )
        })
        .collect()
}

fn last_touch<'a>(
    contestants: impl Iterator<Item = (ChatroomId, &'a Conversation)>,
) -> Option<ChatroomId> {
    contestants
        .max_by_key(|(id, talk)| (talk.last_time(), talk.member.last_time, Reverse(*id)))
        .map(|(id, _)| id)
}

fn first_touch<'a>(
    contestants: impl Iterator<Item = (ChatroomId, &'a Conversation)>,
) -> Option<ChatroomId> {
    contestants
        .min_by_key(|(id, talk)| (talk.first_time(), talk.member.first_time, *id))
        .map(|(id, _)| id)
}

fn last_of_each(contestants: &Contestants) -> Vec<ChatroomId> {
    let mut by_member: BTreeMap<MemberId, Vec<(ChatroomId, &Conversation)>> = BTreeMap::new();
    for (id, (member, talk)) in contestants {
        by_member.entry(*member).or_default().push((*id, talk));
    }
    by_member
        .into_values()
        .filter_map(|own| last_touch(own.into_iter()))
        .collect()
}
