DROP TABLE image;
