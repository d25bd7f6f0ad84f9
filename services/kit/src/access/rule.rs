//! What each method says about its callers.

use std::collections::{BTreeSet, HashMap};

use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};
use rapport_proto::access::v1::Caller;

use super::Principal;

/// Who may call one method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    callers: BTreeSet<i32>,
    /// A service needs one of these.
    scopes: BTreeSet<i32>,
    is_stream: bool,
}

impl Rule {
    pub(super) fn is_open(&self) -> bool {
        self.callers.contains(&i32::from(Caller::Anonymous))
    }

    /// Tells whether caller or service, or both, send many messages.
    pub(super) fn is_stream(&self) -> bool {
        self.is_stream
    }

    pub(super) fn allows(&self, principal: &Principal) -> bool {
        self.callers.contains(&i32::from(principal.caller()))
            && match principal {
                Principal::Service { scopes, .. } => !self.scopes.is_disjoint(scopes),
                _ => true,
            }
    }
}

/// The rules of all methods, by the path under which gRPC calls them.
#[derive(Clone, Debug)]
pub struct Rules(HashMap<String, Rule>);

impl Rules {
    /// Reads the rules from the contract's descriptor set.
    pub fn from_contract() -> Self {
        let pool = DescriptorPool::decode(rapport_proto::FILE_DESCRIPTOR_SET)
            .expect("the descriptor set was made by this build");
        let rules = pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .map(|method| {
                let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
                (path, rule(&pool, &method))
            })
            .collect();
        Self(rules)
    }

    pub(super) fn get(&self, path: &str) -> Option<&Rule> {
        self.0.get(path)
    }
}

/// Returns what the method says; nothing, which allows nobody, where it says nothing.
fn rule(pool: &DescriptorPool, method: &MethodDescriptor) -> Rule {
    let options = method.options();
    let Some(extension) = pool.get_extension_by_name("rapport.access.v1.allow") else {
        return Rule::default();
    };
    if !options.has_extension(&extension) {
        return Rule::default();
    }
    let value = options.get_extension(&extension);
    let Value::Message(access) = value.as_ref() else {
        return Rule::default();
    };
    Rule {
        callers: numbers(access, "callers"),
        scopes: numbers(access, "scopes"),
        is_stream: method.is_client_streaming() || method.is_server_streaming(),
    }
}

fn numbers(access: &DynamicMessage, field: &str) -> BTreeSet<i32> {
    let value = access.get_field_by_name(field);
    let list = value
        .as_deref()
        .and_then(Value::as_list)
        .unwrap_or_default();
    list.iter().filter_map(Value::as_enum_number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_contract_has_callers() {
        let rules = Rules::from_contract();
        assert!(rules.0.len() > 60);
        for (path, rule) in &rules.0 {
            assert!(!rule.callers.is_empty(), "{path}"); // SPEC 59
        }
    }

    #[test]
    fn a_service_needs_a_scope_that_the_method_names() {
        let rules = Rules::from_contract();
        let rule = rules
            .get("/rapport.identity.v1.LinkService/RevokeLink")
            .unwrap();
        let service = |scopes: &[i32]| Principal::Service {
            brand_id: domain::id::BrandId::parse("shop").unwrap(),
            key_id: uuid::Uuid::nil().into(),
            scopes: scopes.iter().copied().collect(),
        };
        let scope = i32::from(rapport_proto::access::v1::Scope::LinksWrite);
        assert!(rule.allows(&service(&[scope])));
        assert!(!rule.allows(&service(&[])));
        assert!(!rule.allows(&Principal::Anonymous));
    }
}
