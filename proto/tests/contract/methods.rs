//! Which methods there are, and who may call them.

use std::collections::{BTreeMap, BTreeSet};

use crate::{access, all_methods, contract};

/// The contract's table of services and methods (`ARCHITECTURE.md`).
const TABLE: &[(&str, &[&str])] = &[
    (
        "rapport.identity.v1.BrandService",
        &[
            "CreateBrand",
            "GetBrand",
            "UpdateBrand",
            "ListBrands",
            "SetMergePolicy",
            "ListMergePolicyRevisions",
            "CreateAssertionKey",
            "ListAssertionKeys",
            "RevokeAssertionKey",
            "CreateApiKey",
            "ListApiKeys",
            "RevokeApiKey",
            "ListAuditEntries",
        ],
    ),
    (
        "rapport.identity.v1.SessionService",
        &[
            "StartTemporarySession",
            "SignIn",
            "RefreshSession",
            "EndSession",
            "IssueServiceToken",
            "IssueMemberSession",
            "GetKeySet",
        ],
    ),
    (
        "rapport.identity.v1.AccountService",
        &[
            "GetAccount",
            "ListAccounts",
            "UpdateAccount",
            "CreateMember",
            "UpdateMember",
            "EraseAccount",
            "GetErasure",
            "ExportAccount",
        ],
    ),
    (
        "rapport.identity.v1.LinkService",
        &[
            "GetLink",
            "ListLinks",
            "RevokeLink",
            "ResolvePerson",
            "WatchEvents",
        ],
    ),
    (
        "rapport.chat.v1.ChatService",
        &[
            "OpenDirectChatroom",
            "ResumeChatroom",
            "IssuePhygitalCode",
            "StartPhygitalChatroom",
            "GetChatroom",
            "ListChatrooms",
            "SendMessage",
            "ListMessages",
            "ListPersonMessages",
            "MarkRead",
            "SetArchived",
            "SetBlocked",
            "RequestRating",
            "AnswerRating",
            "UploadImage",
            "DownloadImage",
            "WatchChatrooms",
            "ErasePerson",
            "ExportPerson",
        ],
    ),
    ("rapport.chat.v1.MessageEventService", &["WatchEvents"]),
    (
        "rapport.attribution.v1.OrderService",
        &[
            "RecordCheckout",
            "RecordOrder",
            "ImportOrders",
            "RecordOrderStatus",
            "RecordRefund",
            "GetOrder",
            "ListOrders",
        ],
    ),
    (
        "rapport.attribution.v1.AttributionService",
        &[
            "GetAttribution",
            "ExplainAttribution",
            "SetAttributionPolicy",
            "ListAttributionPolicyRevisions",
            "SimulateAttributionPolicy",
            "RecomputeAttributions",
            "GetDigest",
            "ExportPerson",
            "ListLedgerEntries",
            "GetBalance",
            "WatchAttributions",
        ],
    ),
];

/// The methods that rule 59 opens to anybody.
const ANONYMOUS: &[&str] = &[
    "GetKeySet",
    "IssueServiceToken",
    "RefreshSession",
    "SignIn",
    "StartTemporarySession",
];

#[test]
fn the_methods_are_those_of_the_table_and_no_other() {
    let pool = contract();
    let found: BTreeMap<String, BTreeSet<String>> = pool
        .services()
        .map(|service| {
            let methods = service.methods().map(|method| method.name().to_owned());
            (service.full_name().to_owned(), methods.collect())
        })
        .collect();
    let expected: BTreeMap<String, BTreeSet<String>> = TABLE
        .iter()
        .map(|(service, methods)| {
            let methods = methods.iter().map(|method| (*method).to_owned());
            ((*service).to_owned(), methods.collect())
        })
        .collect();
    assert_eq!(found, expected);
}

/// Rule 59: a method that does not say who may call it is refused to all.
#[test]
fn every_method_names_its_callers() {
    let pool = contract();
    for method in all_methods(&pool) {
        assert!(
            !access(&pool, &method).callers.is_empty(),
            "{}",
            method.full_name()
        );
    }
}

/// Rule 59: services have scopes, nobody else has.
#[test]
fn a_method_names_scopes_exactly_where_services_may_call() {
    let pool = contract();
    for method in all_methods(&pool) {
        let access = access(&pool, &method);
        let name = method.full_name();
        assert_eq!(
            access.callers.contains("SERVICE"),
            !access.scopes.is_empty(),
            "{name}"
        );
    }
}

/// Rule 59: start, sign-in, refresh, service token and key set.
#[test]
fn anybody_may_call_the_five_methods_that_begin_a_session() {
    let pool = contract();
    let open: BTreeSet<String> = all_methods(&pool)
        .iter()
        .filter(|method| access(&pool, method).callers.contains("ANONYMOUS"))
        .map(|method| method.name().to_owned())
        .collect();
    assert_eq!(
        open,
        ANONYMOUS.iter().map(|name| (*name).to_owned()).collect()
    );
}

/// Rule 59: operators make Brands, and see nothing of what is in them.
#[test]
fn operators_call_the_brand_service_only() {
    let pool = contract();
    for method in all_methods(&pool) {
        if access(&pool, &method).callers.contains("OPERATOR") {
            assert_eq!(
                method.parent_service().name(),
                "BrandService",
                "{}",
                method.name()
            );
        }
    }
}

/// Rule 55 and DESIGN: identity alone erases and exports across the services.
#[test]
fn only_the_suite_erases_and_exports_persons_in_chat_and_attribution() {
    let pool = contract();
    for method in all_methods(&pool) {
        if matches!(method.name(), "ErasePerson" | "ExportPerson") {
            let callers = access(&pool, &method).callers;
            assert_eq!(
                callers,
                BTreeSet::from(["SUITE".to_owned()]),
                "{}",
                method.full_name()
            );
        }
    }
}

/// The suite alone reaches across Brands, and anonymous callers and operators have no token that
/// names one.
#[test]
fn a_request_names_the_brand_where_the_token_does_not() {
    let pool = contract();
    for method in all_methods(&pool) {
        let callers = access(&pool, &method).callers;
        let is_named_elsewhere = ["ANONYMOUS", "OPERATOR", "SUITE"]
            .iter()
            .all(|caller| !callers.contains(*caller));
        // The key set and the list of Brands are of all Brands; these two name it in the resource.
        let is_exempt = matches!(
            method.name(),
            "GetKeySet" | "ListBrands" | "CreateBrand" | "UpdateBrand"
        );
        let has_brand_id = method.input().get_field_by_name("brand_id").is_some();
        assert_eq!(
            has_brand_id,
            !is_named_elsewhere && !is_exempt,
            "{}",
            method.full_name()
        );
    }
}
