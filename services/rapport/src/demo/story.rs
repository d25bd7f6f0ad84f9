//! The cases of the product document, told through gRPC clients only.
//!
//! | case | what happened before the visitor signs in |
//! |------|-------------------------------------------|
//! | 0    | nothing: he is signed in when he first writes |
//! | 1, 2 | he chatted in a temporary session; he never was a client here. In case 1 he then makes his account at the Brand, in case 2 he had one: the suite cannot tell (SPEC 8) |
//! | 3    | long ago, as a client, he wrote to the same Member, who never answered; now he chatted in a temporary session, and was answered |
//!
//! Then he signs in, and orders without another message.

use rapport_proto::{
    attribution::v1::{Attribution, AttributionOutcome, Money},
    identity::v1::{MergePolicyPreset, SignInOutcomeKind},
};
use serde::Serialize;

use crate::client::{
    request_id,
    shop::{COMMISSION_RATE_PPM, Shop, ShopMember, SignedIn, Visitor},
    wait_until,
};

const BRAND_EMAIL: &str = "ann@shop.example";
const OTHER_EMAIL: &str = "ann@home.example";
const TOTAL_MINOR_UNITS: i64 = 12_000;

/// What happens before the sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scene {
    /// The case of the document.
    pub(super) case: u8,
    /// Whether the e-mail that the visitor typed is not the Brand's.
    email_differs: bool,
}

/// Every case; cases 1 and 2 with the same and with a differing e-mail.
pub(super) const SCENES: [Scene; 6] = [
    scene(0, false),
    scene(1, false),
    scene(1, true),
    scene(2, false),
    scene(2, true),
    scene(3, false),
];

const fn scene(case: u8, email_differs: bool) -> Scene {
    Scene {
        case,
        email_differs,
    }
}

/// What became of one case under one preset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The case of the document, 0 to 3.
    pub case: u8,
    /// The merge policy.
    pub preset: &'static str,
    /// Whether the e-mail that the visitor typed is not the Brand's.
    pub email_differs: bool,
    /// What the sign-in did (SPEC 18).
    pub outcome: &'static str,
    /// How many chatrooms the signed-in visitor sees.
    pub visitor_chatrooms: usize,
    /// How many chatrooms the Member sees.
    pub member_chatrooms: usize,
    /// Whether the signed-in visitor still reads every message of the conversation.
    pub messages_kept: bool,
    /// Whether the order is credited to the Member, in attribution and ledger.
    pub credited: bool,
}

/// Returns the preset's name as the SPEC spells it.
pub(super) fn preset_name(preset: MergePolicyPreset) -> &'static str {
    let name = preset.as_str_name();
    name.strip_prefix("MERGE_POLICY_PRESET_").unwrap_or(name)
}

/// Plays one case, and looks at what the visitor, the Member and the ledger have in the end.
pub(super) async fn play(
    shop: &Shop,
    preset: MergePolicyPreset,
    scene: Scene,
) -> anyhow::Result<Row> {
    let customer_id = format!("customer-{}", request_id());
    let member = shop.hire("Mia").await?;
    let (signed_in, texts) = match scene.case {
        0 => chat_as_client(shop, &member, &customer_id).await?,
        3 => {
            let before = shop.sign_in(&customer_id, Some(BRAND_EMAIL), None).await?;
            let chatroom = before.visitor.open_direct(&member).await?;
            before
                .visitor
                .caller
                .say(&chatroom, "Is anybody there?")
                .await?;
            chat_then_sign_in(shop, &member, &customer_id, BRAND_EMAIL).await?
        }
        _ => {
            let typed = if scene.email_differs {
                OTHER_EMAIL
            } else {
                BRAND_EMAIL
            };
            chat_then_sign_in(shop, &member, &customer_id, typed).await?
        }
    };
    wait_until_told(shop).await?;
    let order_id = format!("order-{}", request_id());
    let attribution = shop.order(&order_id, &customer_id, total()).await?;
    let client = &signed_in.visitor;
    let kind = signed_in.outcome.kind().as_str_name();
    Ok(Row {
        case: scene.case,
        preset: preset_name(preset),
        email_differs: scene.email_differs,
        outcome: kind.strip_prefix("SIGN_IN_OUTCOME_KIND_").unwrap_or(kind),
        visitor_chatrooms: client.caller.chatrooms().await?.len(),
        member_chatrooms: member.caller.chatrooms().await?.len(),
        messages_kept: reads_all(client, &texts).await?,
        credited: is_credited(shop, &member, &attribution).await?,
    })
}

/// Case 0: signs in, then chats.
async fn chat_as_client(
    shop: &Shop,
    member: &ShopMember,
    customer_id: &str,
) -> anyhow::Result<(SignedIn, Vec<String>)> {
    let signed_in = shop.sign_in(customer_id, Some(BRAND_EMAIL), None).await?;
    let texts = chat(&signed_in.visitor, member).await?;
    Ok((signed_in, texts))
}

/// Cases 1 to 3: chats in a temporary session, then signs in.
async fn chat_then_sign_in(
    shop: &Shop,
    member: &ShopMember,
    customer_id: &str,
    typed_email: &str,
) -> anyhow::Result<(SignedIn, Vec<String>)> {
    let temporary = shop.welcome("Ann", Some(typed_email)).await?;
    let texts = chat(&temporary, member).await?;
    let signed_in = shop
        .sign_in(customer_id, Some(BRAND_EMAIL), Some(&temporary))
        .await?;
    Ok((signed_in, texts))
}

/// A question and its answer; returns the texts.
async fn chat(visitor: &Visitor, member: &ShopMember) -> anyhow::Result<Vec<String>> {
    let chatroom = visitor.open_direct(member).await?;
    let texts = ["Does it come in blue?", "It does, and in green."];
    visitor.caller.say(&chatroom, texts[0]).await?;
    member.caller.say(&chatroom, texts[1]).await?;
    Ok(texts.map(str::to_owned).to_vec())
}

async fn reads_all(client: &Visitor, texts: &[String]) -> anyhow::Result<bool> {
    let mut read = Vec::new();
    for chatroom in client.caller.chatrooms().await? {
        read.extend(client.caller.texts(&chatroom).await?);
    }
    Ok(texts.iter().all(|text| read.contains(text)))
}

/// Waits until attribution was told all that happened so far.
///
/// Logs keep their order, so it was when the order of somebody who came last is credited. Without
/// this, "not credited" could mean "not yet".
async fn wait_until_told(shop: &Shop) -> anyhow::Result<()> {
    let customer_id = format!("last-{}", request_id());
    let member = shop.hire("Max").await?;
    chat_as_client(shop, &member, &customer_id).await?;
    let order_id = format!("last-{}", request_id());
    shop.order(&order_id, &customer_id, total()).await?;
    wait_until("the order of who came last is credited", async || {
        let attribution = shop.attribution(&order_id).await?;
        Ok((attribution.outcome() == AttributionOutcome::Conversation).then_some(()))
    })
    .await
}

/// Returns whether the Member, and he alone, has the credit, and his balance is what it comes to.
async fn is_credited(
    shop: &Shop,
    member: &ShopMember,
    attribution: &Attribution,
) -> anyhow::Result<bool> {
    let balance = shop.balance(&member.id, "EUR").await?;
    if attribution.outcome() != AttributionOutcome::Conversation {
        anyhow::ensure!(
            balance == 0,
            "nothing is credited, and yet the balance is {balance}"
        );
        return Ok(false);
    }
    let [credit] = attribution.credits.as_slice() else {
        anyhow::bail!("one Member is credited, not {}", attribution.credits.len());
    };
    let earned = TOTAL_MINOR_UNITS * i64::from(COMMISSION_RATE_PPM) / 1_000_000;
    Ok(credit.member_id == member.id && balance == earned)
}

fn total() -> Money {
    Money {
        currency_code: "EUR".to_owned(),
        minor_units: TOTAL_MINOR_UNITS,
    }
}

/// Returns the rows that the SPEC and the product document demand.
///
/// | | V4_4 | V4_6_2 | V4_8 | TWO_CHATROOMS | ALWAYS_LINKED |
/// |---|---|---|---|---|---|
/// | case 0 | kept, credited | same | same | same | same |
/// | cases 1, 2, same e-mail | upgraded | same | same | same | linked |
/// | cases 1, 2, e-mail differs | separated | upgraded | same | same | linked |
/// | case 3 | abandoned | abandoned | linked for tracking | linked with history | same |
pub(super) fn expected(row: &Row) -> Row {
    let always_linked = row.preset == "ALWAYS_LINKED";
    let (outcome, visitor_chatrooms, messages_kept, credited) = match (row.case, row.preset) {
        (0, _) => (SignInOutcomeKind::NoTemporary, 1, true, true),
        (3, "V4_4" | "V4_6_2") => (SignInOutcomeKind::Abandoned, 1, false, false),
        (3, "V4_8") => (SignInOutcomeKind::Linked, 1, false, true),
        (3, _) => (SignInOutcomeKind::Linked, 2, true, true),
        (_, "V4_4") if row.email_differs => (SignInOutcomeKind::Separated, 0, false, false),
        _ if always_linked => (SignInOutcomeKind::Linked, 1, true, true),
        _ => (SignInOutcomeKind::Upgraded, 1, true, true),
    };
    let kind = outcome.as_str_name();
    Row {
        outcome: kind.strip_prefix("SIGN_IN_OUTCOME_KIND_").unwrap_or(kind),
        visitor_chatrooms,
        member_chatrooms: if row.case == 3 { 2 } else { 1 },
        messages_kept,
        credited,
        ..row.clone()
    }
}
