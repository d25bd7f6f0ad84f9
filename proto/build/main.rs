//! Compiles the contract: server and client code, and the descriptor set.
//!
//! Uses protox, so that no `protoc` has to be installed. The descriptor set is encoded by protox
//! itself: `prost_types` does not know the access option and would drop it.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

mod redaction;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for input in ["build", "rapport"] {
        println!("cargo::rerun-if-changed={input}");
    }

    let mut protos = Vec::new();
    collect_protos(&root.join("rapport"), &mut protos)?;
    protos.sort();

    let mut compiler = protox::Compiler::new([&root])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(&protos)?;
    let pool = compiler.descriptor_pool();
    let redacted = redaction::redacted_messages(&pool);

    tonic_prost_build::configure()
        .bytes(".rapport.chat.v1.ImageChunk")
        .skip_debug(
            redacted
                .iter()
                .map(|message| format!(".{}", message.full_name())),
        )
        .compile_fds(compiler.file_descriptor_set())?;
    fs::write(out.join("redaction.rs"), redaction::debug_impls(&redacted)?)?;
    fs::write(
        out.join("rapport.binpb"),
        compiler.encode_file_descriptor_set(),
    )?;
    Ok(())
}

/// Adds every `.proto` file under `folder` to `protos`.
fn collect_protos(folder: &Path, protos: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect_protos(&path, protos)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            protos.push(path);
        }
    }
    Ok(())
}
