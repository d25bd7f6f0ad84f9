//! From bytes that somebody has sent to an image that may be kept (SPEC 31).
//!
//! What is kept is never what was sent: the image is decoded, turned upright and encoded anew, so
//! metadata, further frames and whatever stands behind the image are gone with the old file.
//!
//! | what was sent                                           | becomes                             |
//! |---------------------------------------------------------|-------------------------------------|
//! | no JPEG, PNG, WebP or GIF by its first bytes, or broken | refused                             |
//! | more than 8,192 pixels a side, or none                  | refused, before a pixel is decoded  |
//! | more than 256 MiB of pixels                             | refused, before a pixel is decoded  |
//! | any other                                               | an image of the same format, of its first frame |
//! | that would be above 10 MiB                              | a JPEG, where it has no transparency; else refused |
//!
//! This is work for a thread of its own: it waits for nothing and may take seconds.

use std::{
    fmt,
    io::{self, Cursor, Write},
    str::FromStr,
};

use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageResult, Limits,
    codecs::{
        gif::{GifDecoder, GifEncoder},
        jpeg::{JpegDecoder, JpegEncoder},
        png::{CompressionType, FilterType, PngDecoder, PngEncoder},
        webp::{WebPDecoder, WebPEncoder},
    },
    metadata::Orientation,
};

/// The largest image that is taken, and that is kept.
pub(crate) const MAX_BYTES: usize = 10 * 1_024 * 1_024;
/// The most that the pixels of an image may take: those of 8,192 by 8,192 with four bytes each.
pub(crate) const MAX_PIXEL_BYTES: u64 = 256 * 1_024 * 1_024;
const MAX_SIDE: u32 = 8_192;
/// For all that a decoder keeps beside the pixels: metadata, above all, that grows when unpacked.
const MAX_BESIDE: u64 = 16 * 1_024 * 1_024;
const THUMBNAIL_SIDE: u32 = 320;
const JPEG_QUALITY: u8 = 90;
/// For what is too large otherwise.
const SMALL_JPEG_QUALITIES: [u8; 2] = [80, 50];
const THUMBNAIL_QUALITY: u8 = 80;

/// The format of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Jpeg,
    Png,
    Webp,
    Gif,
}

/// An encoded image without metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rendering {
    pub format: Format,
    pub width: u32,
    pub height: u32,
    pub bytes: Vec<u8>,
}

/// An image as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rewritten {
    /// The whole image.
    pub full: Rendering,
    /// The same, at most 320 pixels a side.
    pub thumbnail: Rendering,
}

/// Why an image may not be kept.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It is none of the four formats, or broken.
    #[error("the image is no JPEG, PNG, WebP or GIF")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It has none or too many pixels.
    #[error("the image has too many pixels, or none")]
    Measures,
    /// It would have more than 10 MiB.
    #[error("the image has more than 10 MiB")]
    TooLarge,
}

impl Format {
    /// Tells the format by the first bytes; what a sender calls it does not count.
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Some(Self::Webp),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Webp => "WEBP",
            Self::Gif => "GIF",
        }
    }
}

/// No format has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no image format has this name")]
pub(crate) struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        [Self::Jpeg, Self::Png, Self::Webp, Self::Gif]
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or(UnknownFormat)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Returns how many bytes the pixels of an image take once they are decoded.
///
/// # Errors
///
/// [`Unfit`] says why it may not be kept.
pub(crate) fn pixel_bytes(bytes: &[u8]) -> Result<u64, Unfit> {
    Ok(open(bytes)?.1.total_bytes())
}

/// Returns an image as it is kept.
///
/// # Errors
///
/// [`Unfit`] says why it may not be kept.
pub(crate) fn rewrite(bytes: &[u8]) -> Result<Rewritten, Unfit> {
    let (format, mut decoder) = open(bytes)?;
    // What it says of itself may be broken where the image is not.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    image.apply_orientation(orientation);
    Ok(Rewritten {
        thumbnail: thumbnail(&image)?,
        full: full(&image, format)?,
    })
}

/// Reads the header, and refuses what must not be decoded.
fn open(bytes: &[u8]) -> Result<(Format, Box<dyn ImageDecoder + '_>), Unfit> {
    let unknown = || Unfit::Unreadable("unknown first bytes".into());
    let format = Format::of(bytes).ok_or_else(unknown)?;
    let decoder = decoder(format, bytes).map_err(unreadable)?;
    let (width, height) = decoder.dimensions();
    let is_side = |pixels| (1..=MAX_SIDE).contains(&pixels);
    if !is_side(width) || !is_side(height) || decoder.total_bytes() > MAX_PIXEL_BYTES {
        return Err(Unfit::Measures);
    }
    Ok((format, decoder))
}

fn decoder(format: Format, bytes: &[u8]) -> ImageResult<Box<dyn ImageDecoder + '_>> {
    let bytes = Cursor::new(bytes);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    let mut decoder: Box<dyn ImageDecoder + '_> = match format {
        Format::Png => {
            limits.max_alloc = Some(MAX_BESIDE);
            return Ok(Box::new(PngDecoder::with_limits(bytes, limits)?));
        }
        Format::Jpeg => Box::new(JpegDecoder::new(bytes)?),
        Format::Webp => Box::new(WebPDecoder::new(bytes)?),
        Format::Gif => Box::new(GifDecoder::new(bytes)?),
    };
    // A frame that does not fill its GIF is decoded beside it.
    limits.max_alloc = Some(MAX_PIXEL_BYTES);
    decoder.set_limits(limits)?;
    Ok(decoder)
}

fn full(image: &DynamicImage, format: Format) -> Result<Rendering, Unfit> {
    let mut written = encode(image, format, JPEG_QUALITY);
    if !image.color().has_alpha() {
        for quality in SMALL_JPEG_QUALITIES {
            if matches!(written, Err(Unfit::TooLarge)) {
                written = encode(image, Format::Jpeg, quality);
            }
        }
    }
    written
}

fn thumbnail(image: &DynamicImage) -> Result<Rendering, Unfit> {
    let is_small = image.width() <= THUMBNAIL_SIDE && image.height() <= THUMBNAIL_SIDE;
    let small = if is_small {
        image.clone()
    } else {
        image.thumbnail(THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    };
    if small.color().has_alpha() {
        encode(&small.into_rgba8().into(), Format::Png, THUMBNAIL_QUALITY)
    } else {
        encode(&small, Format::Jpeg, THUMBNAIL_QUALITY)
    }
}

fn encode(image: &DynamicImage, format: Format, jpeg_quality: u8) -> Result<Rendering, Unfit> {
    let mut file = Bounded::default();
    let written = match format {
        Format::Jpeg => {
            let encoder = JpegEncoder::new_with_quality(&mut file, jpeg_quality);
            match image {
                DynamicImage::ImageLuma8(_) | DynamicImage::ImageRgb8(_) => {
                    write(image, encoder, image.color().into())
                }
                _ => write(&image.to_rgb8().into(), encoder, ExtendedColorType::Rgb8),
            }
        }
        Format::Png => {
            let (compression, filter) = (CompressionType::Default, FilterType::Adaptive);
            let encoder = PngEncoder::new_with_quality(&mut file, compression, filter);
            write(image, encoder, image.color().into())
        }
        Format::Webp => {
            let encoder = WebPEncoder::new_lossless(&mut file);
            write(image, encoder, image.color().into())
        }
        Format::Gif => {
            let mut encoder = GifEncoder::new_with_speed(&mut file, 10);
            let (width, height) = (image.width(), image.height());
            encoder.encode(image.as_bytes(), width, height, image.color().into())
        }
    };
    match written {
        Ok(()) => Ok(Rendering {
            format,
            width: image.width(),
            height: image.height(),
            bytes: file.bytes,
        }),
        Err(_) if file.is_full => Err(Unfit::TooLarge),
        Err(error) => Err(unreadable(error)),
    }
}

fn write(
    image: &DynamicImage,
    encoder: impl ImageEncoder,
    color: ExtendedColorType,
) -> ImageResult<()> {
    encoder.write_image(image.as_bytes(), image.width(), image.height(), color)
}

fn unreadable(error: image::ImageError) -> Unfit {
    Unfit::Unreadable(Box::new(error))
}

/// A file that takes no more than [`MAX_BYTES`].
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    /// Whether more was to be written.
    is_full: bool,
}

impl Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        // It stays so, though an encoder may still write an end that would fit.
        self.is_full |= self.bytes.len() + more.len() > MAX_BYTES;
        if self.is_full {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
