//! Holds the contract to its own rules: complete, consistent, and the same in words and options.

mod comments;
mod methods;
mod privacy;
mod shapes;

use std::collections::BTreeSet;

use prost_reflect::{DescriptorPool, DynamicMessage, EnumDescriptor, MethodDescriptor, Value};

/// Returns the contract as every caller's reflection sees it.
fn contract() -> DescriptorPool {
    DescriptorPool::decode(rapport_proto::FILE_DESCRIPTOR_SET).expect("made by this build")
}

/// Returns every method of the contract.
fn all_methods(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    pool.services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect()
}

/// What a method's access option says, in the words of its enums without their prefix.
struct Access {
    callers: BTreeSet<String>,
    scopes: BTreeSet<String>,
}

/// Returns what a method's access option says; nothing where it has none.
fn access(pool: &DescriptorPool, method: &MethodDescriptor) -> Access {
    let extension = pool
        .get_extension_by_name("rapport.access.v1.allow")
        .expect("the contract declares it");
    let options = method.options();
    let value = options.get_extension(&extension);
    let message = value.as_message().expect("the extension is a message");
    Access {
        callers: names(pool, message, "callers", "Caller"),
        scopes: names(pool, message, "scopes", "Scope"),
    }
}

fn names(
    pool: &DescriptorPool,
    access: &DynamicMessage,
    field: &str,
    enum_name: &str,
) -> BTreeSet<String> {
    let kind = pool
        .get_enum_by_name(&format!("rapport.access.v1.{enum_name}"))
        .expect("the contract declares it");
    let value = access
        .get_field_by_name(field)
        .expect("the message declares it");
    let numbers = value.as_list().expect("the field is repeated");
    numbers
        .iter()
        .filter_map(Value::as_enum_number)
        .filter_map(|number| kind.get_value(number))
        .map(|value| short_name(&kind, value.name()))
        .collect()
}

/// Returns an enum value's name without the prefix that its enum's name gives it.
fn short_name(kind: &EnumDescriptor, value: &str) -> String {
    let mut prefix = String::new();
    for character in kind.name().chars() {
        if character.is_ascii_uppercase() && !prefix.is_empty() {
            prefix.push('_');
        }
        prefix.push(character.to_ascii_uppercase());
    }
    value
        .strip_prefix(&format!("{prefix}_"))
        .unwrap_or_else(|| panic!("{value} lacks its enum's prefix"))
        .to_owned()
}

/// Returns the names of all values of an enum but the zero one, without their prefix.
fn value_names(kind: &EnumDescriptor) -> BTreeSet<String> {
    kind.values()
        .filter(|value| value.number() != 0)
        .map(|value| short_name(kind, value.name()))
        .collect()
}
