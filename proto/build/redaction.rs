//! Writes `Debug` for the messages with fields that the contract marks `debug_redact`.
//!
//! Tokens, secrets, names, e-mails and texts are in no log (`SPEC.md` rule 58). A message is easily
//! logged whole, so its `Debug` leaves them out by itself, wherever it is nested.

use std::fmt::{Result, Write};

use protox::prost_reflect::{
    Cardinality, DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor, Value,
};

/// Returns the messages that have a field marked `debug_redact`.
pub(crate) fn redacted_messages(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    pool.all_messages()
        .filter(|message| message.full_name().starts_with("rapport."))
        .filter(|message| message.fields().any(|field| is_redacted(&field)))
        .collect()
}

/// Returns the Rust text of `Debug` for each of `messages` and its oneofs.
pub(crate) fn debug_impls(
    messages: &[MessageDescriptor],
) -> std::result::Result<String, std::fmt::Error> {
    let mut text = String::new();
    for message in messages {
        write_message(&mut text, message)?;
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            write_oneof(&mut text, message, &oneof)?;
        }
    }
    Ok(text)
}

fn write_message(text: &mut String, message: &MessageDescriptor) -> Result {
    open_impl(text, &rust_path(message))?;
    writeln!(text, "f.debug_struct(\"{}\")", message.name())?;
    for field in message.fields().filter(|field| !in_real_oneof(field)) {
        let name = field.name();
        let is_plain_enum = matches!(field.kind(), Kind::Enum(_))
            && field.cardinality() == Cardinality::Optional
            && field.containing_oneof().is_none();
        if is_redacted(&field) {
            writeln!(
                text,
                ".field(\"{name}\", &::core::format_args!(\"[redacted]\"))"
            )?;
        } else if is_plain_enum {
            writeln!(text, ".field(\"{name}\", &self.{name}())")?;
        } else {
            writeln!(text, ".field(\"{name}\", &self.{name})")?;
        }
    }
    for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
        writeln!(text, ".field(\"{0}\", &self.{0})", oneof.name())?;
    }
    writeln!(text, ".finish()\n}}\n}}")
}

fn write_oneof(text: &mut String, message: &MessageDescriptor, oneof: &OneofDescriptor) -> Result {
    let module = format!("{}::{}", rust_module(message), snake_case(message.name()));
    open_impl(text, &format!("{module}::{}", camel_case(oneof.name())))?;
    writeln!(text, "match self {{")?;
    for field in oneof.fields() {
        let variant = camel_case(field.name());
        if is_redacted(&field) {
            writeln!(
                text,
                "Self::{variant}(_) => f.write_str(\"{variant}([redacted])\"),"
            )?;
        } else {
            writeln!(
                text,
                "Self::{variant}(value) => f.debug_tuple(\"{variant}\").field(value).finish(),"
            )?;
        }
    }
    writeln!(text, "}}\n}}\n}}")
}

fn open_impl(text: &mut String, path: &str) -> Result {
    writeln!(text, "impl ::core::fmt::Debug for {path} {{")?;
    writeln!(
        text,
        "fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{"
    )
}

fn is_redacted(field: &FieldDescriptor) -> bool {
    let options = field.options();
    let redact = options.get_field_by_name("debug_redact");
    redact.as_deref().and_then(Value::as_bool).unwrap_or(false)
}

fn in_real_oneof(field: &FieldDescriptor) -> bool {
    field
        .containing_oneof()
        .is_some_and(|oneof| !oneof.is_synthetic())
}

fn rust_path(message: &MessageDescriptor) -> String {
    format!("{}::{}", rust_module(message), message.name())
}

/// `rapport.chat.v1` is `crate::chat::v1`.
fn rust_module(message: &MessageDescriptor) -> String {
    message
        .package_name()
        .replacen("rapport", "crate", 1)
        .replace('.', "::")
}

fn camel_case(name: &str) -> String {
    name.split('_')
        .flat_map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            [first.to_ascii_uppercase(), rest.to_owned()]
        })
        .collect()
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}
