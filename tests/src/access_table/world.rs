//! Two Brands: the one whose ids the table speaks of, and another one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Context;
use kit::{clock::Clock, testing::TestEngine};
use prost_reflect::{DescriptorPool, MethodDescriptor};
use rapport::client::{
    UserData, request_id,
    shop::{Shop, ShopMember, Visitor, service_token},
};
use rapport_proto::{
    access::v1::Scope,
    attribution::v1::Money,
    identity::v1::{
        CreateApiKeyRequest, ListApiKeysRequest, ListAssertionKeysRequest, MergePolicyPreset,
    },
};
use tonic::transport::Channel;
use uuid::Uuid;

use super::{
    call::{self, Answer},
    row::{Row, Who},
};
use crate::harness::TestSuite;

/// One Brand, with somebody of each kind.
struct Brand {
    shop: Shop,
    temporary: Visitor,
    client: Visitor,
    member: ShopMember,
    /// The tokens of its services, by what they may do.
    services: HashMap<Vec<i32>, String>,
}

/// Both Brands on a suite of their own.
pub(super) struct World {
    suite: TestSuite,
    channels: HashMap<&'static str, Channel>,
    methods: HashMap<String, MethodDescriptor>,
    brand: Brand,
    stranger: Brand,
    /// By the name of the placeholder: an id of the Brand's, and one of the same length that nobody has.
    ids: BTreeMap<&'static str, (String, String)>,
}

impl World {
    pub(super) async fn start(engine: TestEngine) -> anyhow::Result<Self> {
        let suite = TestSuite::start(engine).await?;
        let addresses = [
            ("rapport.identity.v1", suite.suite.identity),
            ("rapport.chat.v1", suite.suite.chat),
            ("rapport.attribution.v1", suite.suite.attribution),
        ];
        let mut channels = HashMap::new();
        for (package, addr) in addresses {
            channels.insert(package, kit::server::channel(&format!("http://{addr}"))?);
        }
        let pool = DescriptorPool::decode(rapport_proto::FILE_DESCRIPTOR_SET)?;
        let methods = pool.services().flat_map(|service| {
            let name = service.name().to_owned();
            let named = |m: MethodDescriptor| (format!("{name}.{}", m.name()), m);
            service.methods().map(named).collect::<Vec<_>>()
        });
        let brand = Brand::open(&suite).await?;
        let stranger = Brand::open(&suite).await?;
        let ids = ids(&suite, &brand, &stranger).await?;
        Ok(Self {
            methods: methods.collect(),
            channels,
            brand,
            stranger,
            ids,
            suite,
        })
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.suite.stop().await
    }

    /// Returns the methods that the three servers have.
    pub(super) async fn methods(&self) -> anyhow::Result<BTreeSet<String>> {
        let mut methods = BTreeSet::new();
        for channel in self.channels.values() {
            methods.extend(call::reflected(channel.clone()).await?);
        }
        Ok(methods)
    }

    /// Returns what a caller of the Brand, or of none, shows.
    pub(super) async fn token(&mut self, who: Who, row: &Row) -> anyhow::Result<Option<String>> {
        self.brand.token(&self.suite, who, row).await
    }

    /// Returns what a caller of the other Brand shows.
    pub(super) async fn stranger_token(
        &mut self,
        who: Who,
        row: &Row,
    ) -> anyhow::Result<Option<String>> {
        self.stranger.token(&self.suite, who, row).await
    }

    pub(super) async fn call(
        &self,
        row: &Row,
        request: &str,
        token: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let method = self.methods.get(&row.method);
        let method = method.with_context(|| format!("there is no method {}", row.method))?;
        let service = method.parent_service();
        let channel = &self.channels[service.package_name()];
        call::call(channel.clone(), method, request, token).await
    }

    /// Returns the request with the Brand's ids.
    pub(super) fn real(&self, template: &str) -> String {
        self.fill(template, |(real, _)| real)
    }

    /// Returns the request with ids that nobody has.
    pub(super) fn made_up(&self, template: &str) -> String {
        self.fill(template, |(_, made_up)| made_up)
    }

    fn fill(&self, template: &str, pick: fn(&(String, String)) -> &String) -> String {
        let request = template.replace("\"$request\"", &format!("{:?}", request_id()));
        let fill = |request: String, (name, both): (&&str, &(String, String))| {
            request.replace(&format!("\"${name}\""), &format!("{:?}", pick(both)))
        };
        self.ids.iter().fold(request, fill)
    }

    /// Returns what a caller sees, but for the ids that he has said himself.
    pub(super) fn anonymized(&self, answer: &Answer) -> String {
        let hide = |seen: String, (name, (real, made_up)): (&&str, &(String, String))| {
            seen.replace(real, name).replace(made_up, name)
        };
        self.ids.iter().fold(answer.seen(), hide)
    }
}

impl Brand {
    async fn open(suite: &TestSuite) -> anyhow::Result<Self> {
        let shop = suite.shop(MergePolicyPreset::TwoChatrooms).await?;
        let client = shop.sign_in("ann", None, None).await?.visitor;
        let temporary = shop.welcome("Bob", None).await?;
        let member = shop.hire("Mia").await?;
        // Chat knows the Brand's people from here on.
        temporary.open_direct(&member).await?;
        client.open_direct(&member).await?;
        Ok(Self {
            shop,
            temporary,
            client,
            member,
            services: HashMap::new(),
        })
    }

    async fn token(
        &mut self,
        suite: &TestSuite,
        who: Who,
        row: &Row,
    ) -> anyhow::Result<Option<String>> {
        let token = match who {
            Who::Nobody => return Ok(None),
            Who::Temporary => self.temporary.session.access_token.clone(),
            Who::Client => self.client.session.access_token.clone(),
            Who::Member => self.member.access_token.clone(),
            Who::Operator => suite.operator_token.clone(),
            Who::Suite => suite.suite_secret.clone(),
            Who::ServiceWithScope if !row.scopes.is_empty() => {
                self.service(suite, row.scopes[..1].to_vec()).await?
            }
            Who::ServiceWithScope | Who::ServiceWithoutScope => {
                let others = (1..).map_while(|number| Scope::try_from(number).ok());
                let others = others.filter(|scope| !row.scopes.contains(scope));
                self.service(suite, others.collect()).await?
            }
        };
        Ok(Some(token))
    }

    /// Returns the token of a service that may do this and nothing else.
    async fn service(&mut self, suite: &TestSuite, scopes: Vec<Scope>) -> anyhow::Result<String> {
        let scopes: Vec<i32> = scopes.into_iter().map(i32::from).collect();
        if let Some(token) = self.services.get(&scopes) {
            return Ok(token.clone());
        }
        let request = CreateApiKeyRequest {
            brand_id: self.shop.brand_id.clone(),
            display_name: "one of many".to_owned(),
            scopes: scopes.clone(),
            expire_time: None,
            request_id: request_id(),
        };
        let mut operator = suite.channels.caller(&suite.operator_token)?;
        let made = operator.brands.create_api_key(request).await?;
        let secret = made.into_inner().secret;
        let token = service_token(&suite.channels, &self.shop.brand_id, &secret).await?;
        self.services.insert(scopes, token.clone());
        Ok(token)
    }
}

/// Makes one of each thing that has an id, and returns it beside an id that nobody has. Where the caller's
/// own is meant, both are the other Brand's: it is from there that the ids are called.
async fn ids(
    suite: &TestSuite,
    brand: &Brand,
    stranger: &Brand,
) -> anyhow::Result<BTreeMap<&'static str, (String, String)>> {
    let shop = &brand.shop;
    let brand_id = &shop.brand_id;
    let mut operator = suite.channels.caller(&suite.operator_token)?;
    let visitor = shop.welcome("Cem", None).await?;
    let chatroom = visitor.open_direct(&brand.member).await?;
    let message = visitor.caller.say(&chatroom, "Hello").await?;
    let image = crate::images::gif();
    let image = visitor.caller.upload_image(&chatroom, &image).await?;
    let kept = shop.welcome("Dan", None).await?;
    let signed_in = shop.sign_in("ann", None, Some(&visitor)).await?;
    let link = signed_in.outcome.link.context("a link was made")?;
    let total = Money {
        currency_code: "EUR".to_owned(),
        minor_units: 12_000,
    };
    shop.order("order-of-the-brand", "ann", total).await?;
    let request = ListApiKeysRequest {
        brand_id: brand_id.clone(),
        ..Default::default()
    };
    let api_keys = operator.brands.list_api_keys(request).await?.into_inner();
    let request = ListAssertionKeysRequest {
        brand_id: brand_id.clone(),
        ..Default::default()
    };
    let assertion_keys = operator.brands.list_assertion_keys(request).await?;
    let assertion_keys = assertion_keys.into_inner().assertion_keys;
    let user_data = UserData {
        brand_id,
        customer_id: "ann",
        email: None,
        nonce: None,
        sign_time: Clock::system().now(),
    };
    let signed = user_data.sign(&shop.assertion_secret);

    let uuid = |real: String| (real, Uuid::new_v4().to_string());
    let text = |real: &str| (real.to_owned(), real.chars().rev().collect::<String>());
    let own = |of_the_caller: &str| (of_the_caller.to_owned(), of_the_caller.to_owned());
    let unused = format!("unused-{}", &request_id()[..8]);
    Ok(BTreeMap::from([
        ("brand", (brand_id.clone(), unused_like(brand_id))),
        ("account", uuid(brand.client.account.account_id.clone())),
        ("temporary", uuid(kept.account.account_id)),
        ("member", uuid(brand.member.id.clone())),
        ("chatroom", uuid(chatroom.chatroom_id)),
        ("message", uuid(message.message_id)),
        ("link", uuid(link.link_id)),
        ("api_key", uuid(first(api_keys.api_keys)?.api_key_id)),
        (
            "assertion_key",
            uuid(first(assertion_keys)?.assertion_key_id),
        ),
        // Nothing is erased here.
        ("erasure", uuid(request_id())),
        ("image", uuid(image.image_id)),
        ("order", text("order-of-the-brand")),
        ("customer", text("ann")),
        ("session_token", text(&kept.session.session_token)),
        ("api_secret", text(&shop.api_key)),
        ("signature", text(&signed.signature)),
        ("user_data", own(&signed.user_data_json)),
        ("unused", own(&unused)),
        ("own_brand", own(&stranger.shop.brand_id)),
        ("own_account", own(&stranger.client.account.account_id)),
        ("own_member", own(&stranger.member.id)),
    ]))
}

/// Returns a slug of the same length that no Brand has.
fn unused_like(brand_id: &str) -> String {
    format!("x{}", &brand_id[1..])
}

fn first<T>(all: Vec<T>) -> anyhow::Result<T> {
    all.into_iter().next().context("the shop has one")
}
