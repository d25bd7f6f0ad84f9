DROP TABLE attribution_change;
