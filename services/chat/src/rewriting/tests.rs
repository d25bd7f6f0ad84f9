//! What becomes of images, and of what only looks like one (SPEC 31).

mod bombs;

use image::{GenericImageView, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use super::*;
use crate::fixtures::pictures::{self, SECRET};

/// The format that the bytes have by the reckoning of a library.
fn guessed(bytes: &[u8]) -> ImageFormat {
    image::guess_format(bytes).unwrap()
}

fn decoded(rendering: &Rendering) -> DynamicImage {
    let image = image::load_from_memory(&rendering.bytes).unwrap();
    assert_eq!(image.dimensions(), (rendering.width, rendering.height));
    image
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Nearly the same colour: a JPEG changes it a little.
#[track_caller]
fn assert_close(found: Rgba<u8>, expected: [u8; 3]) {
    let far = |(found, expected): (&u8, &u8)| found.abs_diff(*expected) > 12;
    assert!(!found.0.iter().zip(&expected).any(far), "{found:?}");
}

fn refused(bytes: &[u8]) -> Unfit {
    rewrite(bytes).unwrap_err()
}

#[test]
fn each_format_stays_itself_and_loses_its_metadata() {
    // SPEC 31: GPS in a JPEG, a text in a PNG, XMP in a WebP, a comment in a GIF.
    let cases = [
        (pictures::jpeg_with_exif(1), Format::Jpeg, ImageFormat::Jpeg),
        (pictures::png_with_text(), Format::Png, ImageFormat::Png),
        (pictures::webp_with_xmp(), Format::Webp, ImageFormat::WebP),
        (pictures::gif_with_comment(), Format::Gif, ImageFormat::Gif),
    ];
    for (bytes, format, expected) in cases {
        assert!(holds(&bytes, SECRET), "{format} has no metadata to lose");
        let rewritten = rewrite(&bytes).unwrap();
        assert_eq!(rewritten.full.format, format);
        assert_eq!(guessed(&rewritten.full.bytes), expected);
        for rendering in [&rewritten.full, &rewritten.thumbnail] {
            decoded(rendering);
            for part in [SECRET, b"Exif", b"XMP ", b"tEXt", b"EXIF", b"GPS"] {
                assert!(!holds(&rendering.bytes, part), "{format}: {part:?}");
            }
        }
    }
}

#[test]
fn what_stands_behind_an_image_goes() {
    for mut bytes in [
        pictures::jpeg_with_exif(1),
        pictures::png_with_text(),
        pictures::webp_with_xmp(),
        pictures::gif_with_comment(),
    ] {
        bytes.extend_from_slice(b"PK\x03\x04<script>a polyglot</script>");
        let rewritten = rewrite(&bytes).unwrap();
        for rendering in [rewritten.full, rewritten.thumbnail] {
            assert!(!holds(&rendering.bytes, b"script"));
        }
    }
}

#[test]
fn a_picture_that_lies_on_its_side_is_turned_upright() {
    // 40 by 20, red on the left and blue on the right; 6 says: turn it to the right.
    let rewritten = rewrite(&pictures::jpeg_with_exif(6)).unwrap();
    let image = decoded(&rewritten.full);
    assert_eq!(image.dimensions(), (20, 40));
    assert_close(image.get_pixel(10, 5), [255, 0, 0]);
    assert_close(image.get_pixel(10, 35), [0, 0, 255]);
    assert_eq!(decoded(&rewritten.thumbnail).dimensions(), (20, 40));
}

#[test]
fn transparency_stays() {
    let image = RgbaImage::from_pixel(500, 400, Rgba([10, 20, 30, 0]));
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let rewritten = rewrite(&pictures::encoded(&image.clone().into(), format)).unwrap();
        for rendering in [&rewritten.full, &rewritten.thumbnail] {
            assert_eq!(decoded(rendering).get_pixel(3, 3).0[3], 0, "{format:?}");
        }
        assert_eq!(rewritten.thumbnail.format, Format::Png);
    }
}

#[test]
fn a_thumbnail_has_at_most_320_pixels_a_side_and_never_grows() {
    let measures = |width, height| {
        let image = RgbImage::from_pixel(width, height, Rgb([1, 2, 3]));
        let bytes = pictures::encoded(&image.into(), ImageFormat::Png);
        decoded(&rewrite(&bytes).unwrap().thumbnail).dimensions()
    };
    assert_eq!(measures(640, 320), (320, 160));
    assert_eq!(measures(300, 600), (160, 320));
    assert_eq!(measures(8_192, 1), (320, 1));
    assert_eq!(measures(12, 7), (12, 7));
    assert_eq!(measures(1, 1), (1, 1));
}

#[test]
fn what_is_told_by_content_is_not_one_of_four_or_is_broken() {
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>1</script></svg>";
    let mut bmp = b"BM".to_vec();
    bmp.resize(200, 0);
    let png = pictures::png_with_text();
    let broken = &png[..png.len() / 2];
    let sources: [&[u8]; 7] = [b"", b"x", svg, &bmp, b"GIF89a", b"\xff\xd8\xff", broken];
    for bytes in sources {
        assert!(matches!(refused(bytes), Unfit::Unreadable(_)), "{bytes:?}"); // SPEC 31
    }
}

#[test]
fn a_side_has_at_most_8192_pixels() {
    let image = |width, height| {
        let image = image::GrayImage::new(width, height);
        pictures::encoded(&image.into(), ImageFormat::Png)
    };
    assert!(rewrite(&image(8_192, 2)).is_ok()); // SPEC 31
    assert!(matches!(
        refused(&image(8_193, 2)),
        Unfit::Unreadable(_) | Unfit::Measures
    ));
    assert!(matches!(
        refused(&image(2, 8_193)),
        Unfit::Unreadable(_) | Unfit::Measures
    ));
}

#[test]
fn what_would_be_too_large_becomes_a_jpeg_unless_that_would_lose_something() {
    let noise = pictures::noise(2_200, 2_000);
    let photo = DynamicImage::ImageRgb8(noise);
    let jpeg = encode(&photo, Format::Jpeg, 30).unwrap();
    assert!(jpeg.bytes.len() < MAX_BYTES);
    let lossless = full(&photo, Format::Webp).unwrap();
    assert_eq!(lossless.format, Format::Jpeg);
    assert!(lossless.bytes.len() <= MAX_BYTES);
    let transparent = DynamicImage::ImageRgba8(photo.to_rgba8());
    let refused = full(&transparent, Format::Png).unwrap_err();
    assert!(matches!(refused, Unfit::TooLarge));
}
