//! Files that are small and become large: each is refused, or taken, inside 256 MiB.
//!
//! Memory is that of a process, so the bombs go off in one of their own: this test runs itself again
//! there, and reads how much the kernel has counted.

use std::{
    fs,
    process::{Command, Stdio},
};

use image::ImageFormat;

use super::*;

const CHILD: &str = "RAPPORT_TEST_BOMBS";
/// More than a child that does nothing needs, and little enough that no bomb fits.
const MEMORY_KIB: u64 = 256 * 1_024;

fn png(width: u32, height: u32, depth: u8, more: &[Vec<u8>]) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend_from_slice(&[depth, 0, 0, 0, 0]);
    let data = pictures::png_chunk(b"IDAT", &zeros(8 * 1_024 * 1_024));
    let chunks = [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        pictures::png_chunk(b"IHDR", &header),
        more.concat(),
        data,
        pictures::png_chunk(b"IEND", b""),
    ];
    chunks.concat()
}

/// So many zeros, compressed a thousandfold: the stream is taken out of a PNG of one long row.
fn zeros(count: usize) -> Vec<u8> {
    let side = 8_000;
    let height = u32::try_from(count / 8_000 + 1).unwrap();
    let image = image::GrayImage::new(side, height);
    let mut bytes = Vec::new();
    let encoder =
        PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::NoFilter);
    encoder
        .write_image(&image, side, height, ExtendedColorType::L8)
        .unwrap();
    let mut data = Vec::new();
    let mut rest = &bytes[8..];
    while let [a, b, c, d, kind @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        if kind.starts_with(b"IDAT") {
            data.extend_from_slice(&kind[4..4 + length]);
        }
        rest = &rest[12 + length..];
    }
    data
}

/// The bombs, each with whether it may be taken.
fn bombs() -> Vec<(&'static str, Vec<u8>, bool)> {
    let unpacked = zeros(512 * 1_024 * 1_024);
    let mut text = b"Comment\0\0".to_vec();
    text.extend_from_slice(&unpacked);
    let mut international = b"XML:com.adobe.xmp\0\x01\0\0\0".to_vec();
    international.extend_from_slice(&unpacked);
    let mut profile = b"profile\0\0".to_vec();
    profile.extend_from_slice(&unpacked);
    let mut huge_jpeg = pictures::encoded(&image::GrayImage::new(8, 8).into(), ImageFormat::Jpeg);
    let frame = huge_jpeg.windows(2).position(|two| two == [0xff, 0xc0]);
    huge_jpeg[frame.unwrap() + 5..][..4].copy_from_slice(&[0xff; 4]);
    let mut huge_gif = pictures::gif_with_comment();
    huge_gif[6..10].copy_from_slice(&[0xff; 4]);
    let mut huge_frame = pictures::gif_with_comment();
    let frame = huge_frame.iter().position(|byte| *byte == 0x2c).unwrap();
    huge_frame[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    let mut huge_webp = pictures::webp_with_xmp();
    huge_webp[24..30].copy_from_slice(&[0xff, 0x3f, 0, 0xff, 0x3f, 0]);
    let chunk = |kind, content: &[u8]| vec![pictures::png_chunk(kind, content)];
    vec![
        (
            "one bit, 65,535 by 65,535",
            png(65_535, 65_535, 1, &[]),
            false,
        ),
        (
            "16 bit, 2^31 - 1 by 2^31 - 1",
            png(0x7fff_ffff, 0x7fff_ffff, 16, &[]),
            false,
        ),
        (
            "compressed text",
            png(8, 8, 8, &chunk(b"zTXt", &text)),
            true,
        ),
        (
            "compressed XMP",
            png(8, 8, 8, &chunk(b"iTXt", &international)),
            true,
        ),
        (
            "compressed profile",
            png(8, 8, 8, &chunk(b"iCCP", &profile)),
            true,
        ),
        ("JPEG of 65,535 by 65,535", huge_jpeg, false),
        ("GIF of 65,535 by 65,535", huge_gif, false),
        ("GIF with a frame of 65,535 by 65,535", huge_frame, false),
        ("WebP of 16,384 by 16,384", huge_webp, false),
        ("GIF of ten thousand frames", many_frames(10_000), true),
    ]
}

fn many_frames(count: usize) -> Vec<u8> {
    let plain = pictures::gif_with_comment();
    let frame = plain.iter().position(|byte| *byte == 0x2c).unwrap();
    let end = plain
        .windows(2)
        .position(|two| two == [0x21, 0xfe])
        .unwrap();
    let frames = plain[frame..end].repeat(count);
    [&plain[..frame], &frames, &plain[end..]].concat()
}

/// The most memory that this process has held, in KiB.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

/// Sets off the bombs of a folder; only as the child of the test below.
fn set_off(folder: &str) {
    let begin = peak_kib();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let taken = rewrite(&bytes).is_ok();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        println!("bomb;{name};{taken};{}", peak_kib());
    }
    println!("begin;{begin}");
}

/// Runs the bombs in `folder` in a process of their own, and returns each one's name, whether it was
/// taken, and the peak of memory after it.
fn run(folder: &std::path::Path) -> Vec<(String, bool, u64)> {
    let name = "rewriting::tests::bombs::bombs_go_off_inside_256_mib";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, folder)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let results = text.lines().filter_map(|line| {
        let mut parts = line.strip_prefix("bomb;")?.split(';');
        let mut next = || parts.next().unwrap();
        Some((next().to_owned(), next() == "true", next().parse().unwrap()))
    });
    results.collect()
}

#[test]
fn bombs_go_off_inside_256_mib() {
    if let Ok(folder) = std::env::var(CHILD) {
        return set_off(&folder);
    }
    let folder = tempfile::tempdir().unwrap();
    let bombs = bombs();
    for (name, bytes, _) in &bombs {
        assert!(bytes.len() < MAX_BYTES, "{name}: {}", bytes.len());
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let results = run(folder.path());
    println!("{results:?}");
    assert_eq!(results.len(), bombs.len());
    for (name, taken, peak) in results {
        let (.., may_be_taken) = bombs.iter().find(|bomb| bomb.0 == name).unwrap();
        assert!(!taken || *may_be_taken, "{name} is taken"); // SPEC 31
        assert!(peak < MEMORY_KIB, "{name}: {peak} KiB");
    }
}

#[test]
fn the_largest_image_is_taken_and_its_memory_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let image = image::RgbaImage::new(8_192, 8_192);
    let bytes = pictures::encoded(&image.into(), ImageFormat::Png);
    fs::write(folder.path().join("largest"), bytes).unwrap();
    let results = run(folder.path());
    let (_, taken, peak) = &results[0];
    println!("{results:?}");
    assert!(taken, "8,192 by 8,192 is allowed"); // SPEC 31
    assert!(*peak > MEMORY_KIB, "a peak of {peak} KiB is not measured");
}
