-- The images that were uploaded into chatrooms (SPEC 31); their bytes are files of their own, which are written before the row.
-- What each column means is said once, in the PostgreSQL migration of the same name; instants are INTEGER microseconds since 1970,
-- ids BLOBs.

CREATE TABLE image (
    brand_id TEXT NOT NULL,
    image_id BLOB NOT NULL,
    chatroom_id BLOB NOT NULL,
    side TEXT NOT NULL,
    uploader_id BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    format TEXT NOT NULL,
    width_pixels INTEGER NOT NULL,
    height_pixels INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    thumbnail_format TEXT NOT NULL,
    thumbnail_width_pixels INTEGER NOT NULL,
    thumbnail_height_pixels INTEGER NOT NULL,
    thumbnail_size_bytes INTEGER NOT NULL,
    PRIMARY KEY (brand_id, image_id),
    CONSTRAINT image_chatroom FOREIGN KEY (brand_id, chatroom_id) REFERENCES chatroom,
    CONSTRAINT image_side CHECK (side IN ('VISITOR', 'MEMBER', 'SERVICE')),
    CONSTRAINT image_format CHECK (format IN ('JPEG', 'PNG', 'WEBP', 'GIF') AND thumbnail_format IN ('JPEG', 'PNG', 'WEBP', 'GIF')),
    CONSTRAINT image_measures CHECK (width_pixels BETWEEN 1 AND 8192 AND height_pixels BETWEEN 1 AND 8192
                                     AND size_bytes BETWEEN 1 AND 10485760),
    CONSTRAINT image_thumbnail_measures CHECK (thumbnail_width_pixels BETWEEN 1 AND 320 AND thumbnail_height_pixels BETWEEN 1 AND 320
                                               AND thumbnail_size_bytes BETWEEN 1 AND 10485760)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_of_chatroom ON image (brand_id, chatroom_id, image_id);
