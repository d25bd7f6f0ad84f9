-- The images that were uploaded into chatrooms (SPEC 31); their bytes are files of their own, which are written before the row.

CREATE TABLE image (
    brand_id text NOT NULL,
    image_id uuid NOT NULL,
    chatroom_id uuid NOT NULL,
    side text NOT NULL,
    uploader_id uuid NOT NULL,
    create_time timestamptz NOT NULL,
    format text NOT NULL,
    width_pixels integer NOT NULL,
    height_pixels integer NOT NULL,
    size_bytes bigint NOT NULL,
    thumbnail_format text NOT NULL,
    thumbnail_width_pixels integer NOT NULL,
    thumbnail_height_pixels integer NOT NULL,
    thumbnail_size_bytes bigint NOT NULL,
    PRIMARY KEY (brand_id, image_id),
    CONSTRAINT image_chatroom FOREIGN KEY (brand_id, chatroom_id) REFERENCES chatroom,
    CONSTRAINT image_side CHECK (side IN ('VISITOR', 'MEMBER', 'SERVICE')),
    CONSTRAINT image_format CHECK (format IN ('JPEG', 'PNG', 'WEBP', 'GIF') AND thumbnail_format IN ('JPEG', 'PNG', 'WEBP', 'GIF')),
    CONSTRAINT image_measures CHECK (width_pixels BETWEEN 1 AND 8192 AND height_pixels BETWEEN 1 AND 8192
                                     AND size_bytes BETWEEN 1 AND 10485760),
    CONSTRAINT image_thumbnail_measures CHECK (thumbnail_width_pixels BETWEEN 1 AND 320 AND thumbnail_height_pixels BETWEEN 1 AND 320
                                               AND thumbnail_size_bytes BETWEEN 1 AND 10485760)
);
CREATE INDEX image_of_chatroom ON image (brand_id, chatroom_id, image_id);
COMMENT ON TABLE image IS 'The images of chatrooms; a row is deleted when its person is erased (SPEC 55). Files without a row are swept away.';
COMMENT ON COLUMN image.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN image.image_id IS 'The image, and the name of its files. Never changes.';
COMMENT ON COLUMN image.chatroom_id IS 'The chatroom that it was uploaded into, whose visibility it follows. Never changes.';
COMMENT ON COLUMN image.side IS 'VISITOR, MEMBER or SERVICE: the side of its uploader. Never changes.';
COMMENT ON COLUMN image.uploader_id IS 'Who uploaded it: an account, a Member or an API key, by side. Never changes.';
COMMENT ON COLUMN image.create_time IS 'When it was uploaded, by the service''s clock. Never changes.';
COMMENT ON COLUMN image.format IS 'JPEG, PNG, WEBP or GIF: what the server has written. Never changes.';
COMMENT ON COLUMN image.width_pixels IS 'The width, in pixels. Never changes.';
COMMENT ON COLUMN image.height_pixels IS 'The height, in pixels. Never changes.';
COMMENT ON COLUMN image.size_bytes IS 'The size of the file, in bytes. Never changes.';
COMMENT ON COLUMN image.thumbnail_format IS 'The format of the thumbnail. Never changes.';
COMMENT ON COLUMN image.thumbnail_width_pixels IS 'The width of the thumbnail, in pixels. Never changes.';
COMMENT ON COLUMN image.thumbnail_height_pixels IS 'The height of the thumbnail, in pixels. Never changes.';
COMMENT ON COLUMN image.thumbnail_size_bytes IS 'The size of the thumbnail''s file, in bytes. Never changes.';
