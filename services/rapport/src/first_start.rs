//! What a first start in development mode leaves a newcomer with: a demo Brand, and calls to paste.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use kit::config::SuiteArgs;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::{
    client::{
        Channels, request_id,
        shop::{Shop, WIDGET_POLICY, service_token},
    },
    suite::Suite,
};

const BRAND_ID: &str = "demo";
const FILE: &str = "demo-brand.json";

/// The demo Brand, kept in the data folder so that later starts find it.
#[derive(Deserialize, Serialize)]
struct DemoBrand {
    brand_id: String,
    api_key: String,
    /// In base64.
    assertion_secret: String,
    member_id: String,
}

/// Makes the demo Brand where there is none yet, and prints three calls that work when pasted.
///
/// # Errors
///
/// When a call is refused, or the data folder cannot be written.
pub async fn greet(args: &SuiteArgs, suite: &Suite) -> anyhow::Result<()> {
    let channels = suite.channels()?;
    let file = args.data_dir.join(FILE);
    let brand = match fs::read(&file) {
        Ok(json) => serde_json::from_slice(&json).with_context(|| {
            format!(
                "{} is not the file that a first start makes",
                file.display()
            )
        })?,
        Err(error) if error.kind() == ErrorKind::NotFound => make(args, &channels, &file).await?,
        Err(error) => return Err(error).context(format!("{} cannot be read", file.display())),
    };
    let token = service_token(&channels, &brand.brand_id, &brand.api_key).await?;
    print_calls(args, suite, &brand, &token);
    Ok(())
}

async fn make(args: &SuiteArgs, channels: &Channels, file: &Path) -> anyhow::Result<DemoBrand> {
    let operator_token = args
        .secrets()?
        .operator_token
        .context("development mode has an operator")?;
    let shop = Shop::open(channels, operator_token.expose_secret(), BRAND_ID).await?;
    let member = shop.hire("Mia").await?;
    let brand = DemoBrand {
        brand_id: shop.brand_id,
        api_key: shop.api_key,
        assertion_secret: BASE64_STANDARD.encode(shop.assertion_secret),
        member_id: member.id,
    };
    kit::config::write_private(file, &serde_json::to_vec_pretty(&brand)?)
        .with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(brand)
}

fn print_calls(args: &SuiteArgs, suite: &Suite, brand: &DemoBrand, token: &str) {
    let (brand_id, member_id) = (&brand.brand_id, &brand.member_id);
    let grpcurl = match &args.tls.tls_authority {
        Some(authority) => format!("grpcurl -cacert {}", authority.display()),
        None => "grpcurl -plaintext".to_owned(),
    };
    crate::say!(
        "\nThe Brand \"{brand_id}\" is there to try. These calls work as they are for ten minutes:\n"
    );
    crate::say!(
        "{grpcurl} -d '{{\"brand_id\":\"{brand_id}\",\"username\":\"Ann\",\
         \"widget\":\"WIDGET_COMMUNITY\",\"accepted_widget_policy_version\":\"{WIDGET_POLICY}\",\
         \"request_id\":\"{}\"}}' {} rapport.identity.v1.SessionService/StartTemporarySession\n",
        request_id(),
        suite.identity,
    );
    crate::say!(
        "{grpcurl} -H 'authorization: Bearer {token}' \
         -d '{{\"acting_for\":{{\"member_id\":\"{member_id}\"}}}}' {} \
         rapport.chat.v1.ChatService/ListChatrooms\n",
        suite.chat,
    );
    crate::say!(
        "{grpcurl} -H 'authorization: Bearer {token}' \
         -d '{{\"request_id\":\"{}\",\"order\":{{\"order_id\":\"A-{}\",\
         \"buyer\":{{\"customer_id\":\"ann\"}},\
         \"total\":{{\"currency_code\":\"EUR\",\"minor_units\":\"12000\"}}}}}}' {} \
         rapport.attribution.v1.OrderService/RecordOrder\n",
        request_id(),
        &request_id()[..8],
        suite.attribution,
    );
}
