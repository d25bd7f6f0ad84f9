//! The images of chatrooms; their bytes are elsewhere.

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper,
};
use diesel_async::RunQueryDsl;
use domain::{
    id::{BrandId, ChatroomId, ImageId},
    message::Side,
};
use kit::{
    db::{Connection, Sql, StoreError},
    query,
};
use uuid::Uuid;

use super::schema::image;
use crate::{
    model::{Author, Image, Measures},
    rewriting::Format,
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = image)]
struct Row {
    image_id: Sql<ImageId>,
    chatroom_id: Sql<ChatroomId>,
    side: Sql<Side>,
    uploader_id: Sql<Uuid>,
    create_time: Sql<DateTime<Utc>>,
    format: Sql<Format>,
    width_pixels: i32,
    height_pixels: i32,
    size_bytes: i64,
    thumbnail_format: Sql<Format>,
    thumbnail_width_pixels: i32,
    thumbnail_height_pixels: i32,
    thumbnail_size_bytes: i64,
}

impl From<Row> for Image {
    fn from(row: Row) -> Self {
        Self {
            id: row.image_id.0,
            chatroom_id: row.chatroom_id.0,
            uploader: Author::on(row.side.0, row.uploader_id.0),
            create_time: row.create_time.0,
            full: Measures {
                format: row.format.0,
                width_pixels: row.width_pixels,
                height_pixels: row.height_pixels,
                size_bytes: row.size_bytes,
            },
            thumbnail: Measures {
                format: row.thumbnail_format.0,
                width_pixels: row.thumbnail_width_pixels,
                height_pixels: row.thumbnail_height_pixels,
                size_bytes: row.thumbnail_size_bytes,
            },
        }
    }
}

/// Returns an image.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn find(
    connection: &mut Connection,
    brand_id: &BrandId,
    id: ImageId,
) -> Result<Option<Image>, StoreError> {
    let row: Option<Row> = query!(connection, |c| image::table
        .find((Sql(brand_id), Sql(id)))
        .select(Row::as_select())
        .first(c)
        .await
        .optional())?;
    Ok(row.map(Image::from))
}

/// Returns at most `limit` images of a chatroom, in the order of their ids, after one of them.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn list_after(
    connection: &mut Connection,
    brand_id: &BrandId,
    chatroom_id: ChatroomId,
    after: Option<ImageId>,
    limit: i64,
) -> Result<Vec<Image>, StoreError> {
    let after = after.unwrap_or(ImageId::new(Uuid::nil()));
    let rows: Vec<Row> = query!(connection, |c| image::table
        .filter(image::brand_id.eq(Sql(brand_id)))
        .filter(image::chatroom_id.eq(Sql(chatroom_id)))
        .filter(image::image_id.gt(Sql(after)))
        .order(image::image_id.asc())
        .limit(limit)
        .select(Row::as_select())
        .load(c)
        .await)?;
    Ok(rows.into_iter().map(Image::from).collect())
}

/// Returns which of these images there are.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn list_known(
    connection: &mut Connection,
    brand_id: &BrandId,
    ids: &[ImageId],
) -> Result<Vec<ImageId>, StoreError> {
    let ids: Vec<Sql<ImageId>> = ids.iter().copied().map(Sql).collect();
    let known: Vec<Sql<ImageId>> = query!(connection, |c| image::table
        .filter(image::brand_id.eq(Sql(brand_id)))
        .filter(image::image_id.eq_any(&ids))
        .select(image::image_id)
        .load(c)
        .await)?;
    Ok(known.into_iter().map(|id| id.0).collect())
}

/// Inserts an image.
///
/// # Errors
///
/// What the database fails with.
pub(crate) async fn insert(
    connection: &mut Connection,
    brand_id: &BrandId,
    new: &Image,
) -> Result<(), StoreError> {
    query!(connection, |c| diesel::insert_into(image::table)
        .values((
            image::brand_id.eq(Sql(brand_id)),
            image::image_id.eq(Sql(new.id)),
            image::chatroom_id.eq(Sql(new.chatroom_id)),
            image::side.eq(Sql(new.uploader.side())),
            image::uploader_id.eq(Sql(new.uploader.id())),
            image::create_time.eq(Sql(new.create_time)),
            image::format.eq(Sql(new.full.format)),
            image::width_pixels.eq(new.full.width_pixels),
            image::height_pixels.eq(new.full.height_pixels),
            image::size_bytes.eq(new.full.size_bytes),
            image::thumbnail_format.eq(Sql(new.thumbnail.format)),
            image::thumbnail_width_pixels.eq(new.thumbnail.width_pixels),
            image::thumbnail_height_pixels.eq(new.thumbnail.height_pixels),
            image::thumbnail_size_bytes.eq(new.thumbnail.size_bytes),
        ))
        .execute(c)
        .await)?;
    Ok(())
}

/// Deletes images, and returns how many there were.
///
/// # Errors
///
/// What the database fails with; the caller has deleted their files.
pub(crate) async fn delete(
    connection: &mut Connection,
    brand_id: &BrandId,
    ids: &[ImageId],
) -> Result<u64, StoreError> {
    let ids: Vec<Sql<ImageId>> = ids.iter().copied().map(Sql).collect();
    let deleted = query!(connection, |c| diesel::delete(image::table)
        .filter(image::brand_id.eq(Sql(brand_id)))
        .filter(image::image_id.eq_any(&ids))
        .execute(c)
        .await)?;
    Ok(u64::try_from(deleted).unwrap_or(u64::MAX))
}
