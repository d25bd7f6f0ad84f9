//! A Brand's shop with its visitors and Members, as scripts and stories play them.

use super::{Caller, Channels, UserData, request_id};
use anyhow::Context;
use kit::clock::Clock;
use rapport_proto::{
    access::v1::Scope,
    attribution::v1::{
        Attribution, AttributionPolicy, Buyer, GetAttributionRequest, GetBalanceRequest, Money,
        OrderReport, OrderStatus, RecordOrderRequest, SetAttributionPolicyRequest,
    },
    identity::v1::{
        Account, Brand, CreateApiKeyRequest, CreateAssertionKeyRequest, CreateBrandRequest,
        CreateMemberRequest, HmacSecret, IssueMemberSessionRequest, IssueServiceTokenRequest,
        MergePolicyPreset, Session, SetMergePolicyRequest, SignInOutcome, SignInRequest,
        StartTemporarySessionRequest, Widget, create_assertion_key_request::Material,
        set_merge_policy_request::Choice, sign_in_request::Assertion,
    },
};

/// The version of the widget policy that the shops here have, and their visitors accept.
pub const WIDGET_POLICY: &str = "1";
/// A tenth: what the Members here earn, in parts per million.
pub const COMMISSION_RATE_PPM: i32 = 100_000;

/// A Brand with a key for its services and a secret for its assertions.
#[derive(Clone)]
pub struct Shop {
    /// The Brand's slug.
    pub brand_id: String,
    /// The key that its services exchange for tokens.
    pub api_key: String,
    /// The secret under which it signs user data.
    pub assertion_secret: Vec<u8>,
    /// Calls as a service of the Brand, with every scope.
    pub service: Caller,
    channels: Channels,
}

/// A Member who has signed in.
#[derive(Clone)]
pub struct ShopMember {
    /// His id.
    pub id: String,
    /// The token that his calls show.
    pub access_token: String,
    /// Calls as he.
    pub caller: Caller,
}

/// A visitor in a session.
#[derive(Clone)]
pub struct Visitor {
    /// His account.
    pub account: Account,
    /// His session, with its tokens.
    pub session: Session,
    /// The nonce of a temporary session.
    pub nonce: String,
    /// Calls as he.
    pub caller: Caller,
}

/// What became of a sign-in.
pub struct SignedIn {
    /// The client.
    pub visitor: Visitor,
    /// What was done with the temporary account.
    pub outcome: SignInOutcome,
    /// What a service passes on to be answered from after the sign-in.
    pub consistency_token: String,
}

impl Shop {
    /// Makes the Brand, its keys and a commission of a tenth.
    ///
    /// # Errors
    ///
    /// When a call is refused.
    pub async fn open(
        channels: &Channels,
        operator_token: &str,
        brand_id: &str,
    ) -> anyhow::Result<Self> {
        let mut operator = channels.caller(operator_token)?;
        let brand = Brand {
            brand_id: brand_id.to_owned(),
            display_name: brand_id.to_owned(),
            widget_policy_version: WIDGET_POLICY.to_owned(),
            ..Default::default()
        };
        let request = CreateBrandRequest {
            brand: Some(brand),
            request_id: request_id(),
        };
        operator.brands.create_brand(request).await?;
        let request = CreateAssertionKeyRequest {
            brand_id: brand_id.to_owned(),
            material: Some(Material::HmacSecret(HmacSecret::default())),
            expire_time: None,
            request_id: request_id(),
        };
        let key = operator
            .brands
            .create_assertion_key(request)
            .await?
            .into_inner();
        let request = CreateApiKeyRequest {
            brand_id: brand_id.to_owned(),
            display_name: "shop backend".to_owned(),
            scopes: all_scopes(),
            expire_time: None,
            request_id: request_id(),
        };
        let api_key = operator
            .brands
            .create_api_key(request)
            .await?
            .into_inner()
            .secret;
        let mut shop = Self::reopen(channels, brand_id, &api_key, key.hmac_secret).await?;
        shop.set_commission().await?;
        Ok(shop)
    }

    /// Returns the shop of a Brand that was made before.
    ///
    /// # Errors
    ///
    /// When the API key is refused.
    pub async fn reopen(
        channels: &Channels,
        brand_id: &str,
        api_key: &str,
        assertion_secret: Vec<u8>,
    ) -> anyhow::Result<Self> {
        let token = service_token(channels, brand_id, api_key).await?;
        Ok(Self {
            brand_id: brand_id.to_owned(),
            api_key: api_key.to_owned(),
            assertion_secret,
            service: channels.caller(&token)?,
            channels: channels.clone(),
        })
    }

    /// Returns the shop with a service token that was given just now.
    ///
    /// # Errors
    ///
    /// When the API key is refused.
    pub async fn renew(&self) -> anyhow::Result<Self> {
        let secret = self.assertion_secret.clone();
        Self::reopen(&self.channels, &self.brand_id, &self.api_key, secret).await
    }

    async fn set_commission(&mut self) -> anyhow::Result<()> {
        let policy = AttributionPolicy {
            commission_rate_ppm: COMMISSION_RATE_PPM,
            ..Default::default()
        };
        let request = SetAttributionPolicyRequest {
            policy: Some(policy),
            effective_time: None,
            request_id: request_id(),
        };
        self.service
            .attributions
            .set_attribution_policy(request)
            .await?;
        Ok(())
    }

    /// Sets the merge policy.
    ///
    /// # Errors
    ///
    /// When the call is refused.
    pub async fn set_merge_policy(&self, preset: MergePolicyPreset) -> anyhow::Result<()> {
        let request = SetMergePolicyRequest {
            brand_id: self.brand_id.clone(),
            choice: Some(Choice::Preset(preset.into())),
            request_id: request_id(),
        };
        self.service
            .clone()
            .brands
            .set_merge_policy(request)
            .await?;
        Ok(())
    }

    /// Makes a Member and signs him in.
    ///
    /// # Errors
    ///
    /// When a call is refused.
    pub async fn hire(&self, display_name: &str) -> anyhow::Result<ShopMember> {
        let mut service = self.service.clone();
        let request = CreateMemberRequest {
            display_name: display_name.to_owned(),
            own_customer_ids: Vec::new(),
            request_id: request_id(),
        };
        let member = service
            .accounts
            .create_member(request)
            .await?
            .into_inner()
            .member;
        let id = member.context("the answer holds the Member")?.member_id;
        let request = IssueMemberSessionRequest {
            member_id: id.clone(),
            request_id: request_id(),
        };
        let session = service
            .sessions
            .issue_member_session(request)
            .await?
            .into_inner()
            .session;
        let session = session.context("the answer holds the session")?;
        Ok(ShopMember {
            id,
            caller: self.channels.caller(&session.access_token)?,
            access_token: session.access_token,
        })
    }

    /// Starts a temporary session in the community widget.
    ///
    /// # Errors
    ///
    /// When the call is refused.
    pub async fn welcome(&self, username: &str, email: Option<&str>) -> anyhow::Result<Visitor> {
        let request = StartTemporarySessionRequest {
            brand_id: self.brand_id.clone(),
            username: username.to_owned(),
            email: email.unwrap_or_default().to_owned(),
            widget: Widget::Community.into(),
            accepted_widget_policy_version: WIDGET_POLICY.to_owned(),
            request_id: request_id(),
        };
        let mut anonymous = self.channels.anonymous();
        let response = anonymous
            .start_temporary_session(request)
            .await?
            .into_inner();
        self.visitor(response.account, response.session, response.nonce)
    }

    /// Signs a customer in, with the temporary session of his browser where it has one.
    ///
    /// # Errors
    ///
    /// When the call is refused.
    pub async fn sign_in(
        &self,
        customer_id: &str,
        email: Option<&str>,
        temporary: Option<&Visitor>,
    ) -> anyhow::Result<SignedIn> {
        let nonce = temporary.map(|visitor| visitor.nonce.as_str());
        let assertion = self.assertion(customer_id, email, nonce);
        let token = temporary.map(|visitor| visitor.session.session_token.as_str());
        self.send_sign_in(self.sign_in_request(assertion, token))
            .await
    }

    /// Returns what the shop says of a customer who has signed in with it; it puts the nonce into it
    /// that it knows of his browser.
    pub fn assertion(
        &self,
        customer_id: &str,
        email: Option<&str>,
        nonce: Option<&str>,
    ) -> Assertion {
        let user_data = UserData {
            brand_id: &self.brand_id,
            customer_id,
            email,
            nonce,
            sign_time: Clock::system().now(),
        };
        Assertion::SignedUserData(user_data.sign(&self.assertion_secret))
    }

    /// Returns the call that a browser makes with an assertion and the session token that it has.
    pub fn sign_in_request(
        &self,
        assertion: Assertion,
        temporary_session_token: Option<&str>,
    ) -> SignInRequest {
        SignInRequest {
            brand_id: self.brand_id.clone(),
            assertion: Some(assertion),
            temporary_session_token: temporary_session_token.unwrap_or_default().to_owned(),
            widget: Widget::Community.into(),
            validate_only: false,
            request_id: request_id(),
            accepted_widget_policy_version: WIDGET_POLICY.to_owned(),
        }
    }

    /// Signs in.
    ///
    /// # Errors
    ///
    /// When the call is refused.
    pub async fn send_sign_in(&self, request: SignInRequest) -> anyhow::Result<SignedIn> {
        let response = self
            .channels
            .anonymous()
            .sign_in(request)
            .await?
            .into_inner();
        Ok(SignedIn {
            visitor: self.visitor(response.account, response.session, String::new())?,
            outcome: response.outcome.context("the answer holds the outcome")?,
            consistency_token: response.consistency_token,
        })
    }

    fn visitor(
        &self,
        account: Option<Account>,
        session: Option<Session>,
        nonce: String,
    ) -> anyhow::Result<Visitor> {
        let session = session.context("the answer holds the session")?;
        Ok(Visitor {
            account: account.context("the answer holds the account")?,
            caller: self.channels.caller(&session.access_token)?,
            session,
            nonce,
        })
    }

    /// Reports a paid order of a customer, and returns its attribution as known then.
    ///
    /// # Errors
    ///
    /// When the call is refused.
    pub async fn order(
        &self,
        order_id: &str,
        customer_id: &str,
        total: Money,
    ) -> anyhow::Result<Attribution> {
        let request = RecordOrderRequest {
            order: Some(paid_order(order_id, customer_id, total)),
            consistency_token: String::new(),
            request_id: request_id(),
        };
        let response = self.service.clone().orders.record_order(request).await?;
        let attribution = response.into_inner().attribution;
        attribution.context("the answer holds the attribution")
    }

    /// Returns what is known of an order's attribution now.
    ///
    /// # Errors
    ///
    /// When the call is refused.
    pub async fn attribution(&self, order_id: &str) -> anyhow::Result<Attribution> {
        let request = GetAttributionRequest {
            order_id: order_id.to_owned(),
            consistency_token: String::new(),
        };
        let response = self
            .service
            .clone()
            .attributions
            .get_attribution(request)
            .await?;
        let attribution = response.into_inner().attribution;
        attribution.context("the answer holds the attribution")
    }

    /// Returns a Member's balance in one currency, in minor units.
    ///
    /// # Errors
    ///
    /// When the call is refused.
    pub async fn balance(&self, member_id: &str, currency_code: &str) -> anyhow::Result<i64> {
        let request = GetBalanceRequest {
            member_id: member_id.to_owned(),
            until_time: None,
        };
        let response = self
            .service
            .clone()
            .attributions
            .get_balance(request)
            .await?;
        let balance = response.into_inner().balance;
        let amounts = balance.context("the answer holds the balance")?.amounts;
        Ok(amounts
            .iter()
            .find(|amount| amount.currency_code == currency_code)
            .map_or(0, |amount| amount.minor_units))
    }
}

/// Returns the report of a customer's order that is paid.
pub fn paid_order(order_id: &str, customer_id: &str, total: Money) -> OrderReport {
    OrderReport {
        order_id: order_id.to_owned(),
        buyer: Some(Buyer {
            customer_id: customer_id.to_owned(),
            ..Default::default()
        }),
        total: Some(total),
        status: Some(OrderStatus {
            label: "OK".to_owned(),
            status_time: None,
        }),
        ..Default::default()
    }
}

/// Exchanges an API key for a service token.
///
/// # Errors
///
/// When the key is refused.
pub async fn service_token(
    channels: &Channels,
    brand_id: &str,
    api_key: &str,
) -> anyhow::Result<String> {
    let request = IssueServiceTokenRequest {
        brand_id: brand_id.to_owned(),
        api_key: api_key.to_owned(),
    };
    let response = channels.anonymous().issue_service_token(request).await?;
    Ok(response.into_inner().access_token)
}

fn all_scopes() -> Vec<i32> {
    (1..)
        .map_while(|number| Scope::try_from(number).ok())
        .map(i32::from)
        .collect()
}
