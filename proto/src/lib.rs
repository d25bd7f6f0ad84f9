//! The contract of the suite: what is in the `.proto` files beside this crate, as Rust.
//!
//! Messages, servers and clients are generated at build time; their documentation is that of the
//! `.proto` files. The descriptor set serves reflection, and carries the access option of each
//! method (`rapport.access.v1.allow`), from which the access layer is built.
//!
//! `Debug` of a message leaves out the fields that the contract marks `debug_redact`: tokens,
//! secrets, names, e-mails, texts. They are in no log, even where a message is logged whole.
//!
//! There must be no logic in here: conversions and rules belong to the services.

/// Every file of the contract and what it imports, as an encoded `FileDescriptorSet` with comments
/// and custom options.
///
/// Decode it with `prost_reflect::DescriptorPool::decode`: `prost_types` drops custom options.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rapport.binpb"));

/// Includes the generated code of one package as the module `v1`.
macro_rules! package {
    ($module:ident, $package:literal, $doc:literal) => {
        #[doc = $doc]
        #[allow(
            clippy::all,
            clippy::allow_attributes,
            missing_docs,
            unreachable_pub,
            rustdoc::all,
            reason = "generated code"
        )]
        pub mod $module {
            /// The first version, and the only one.
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
            }
        }
    };
}

package!(access, "rapport.access.v1", "Who may call what.");
package!(
    event,
    "rapport.event.v1",
    "What happened, as services tell each other."
);
package!(
    identity,
    "rapport.identity.v1",
    "Who is who: Brands, sessions, accounts, links."
);
package!(chat, "rapport.chat.v1", "Chatrooms and messages.");
package!(
    attribution,
    "rapport.attribution.v1",
    "Orders, attributions, ledger."
);

/// `Debug` for the messages that hold something to be left out.
mod redaction {
    include!(concat!(env!("OUT_DIR"), "/redaction.rs"));
}
