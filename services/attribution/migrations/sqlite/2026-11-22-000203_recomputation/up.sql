-- Orders to be evaluated again, span by span. What the columns mean is said in PostgreSQL's migration of the same name.

CREATE TABLE recomputation (
    brand_id TEXT NOT NULL,
    recomputation_id BLOB NOT NULL,
    cause TEXT NOT NULL,
    from_time INTEGER NOT NULL,
    until_time INTEGER NOT NULL,
    last_order_time INTEGER,
    last_order_id TEXT,
    evaluated_count INTEGER NOT NULL,
    changed_count INTEGER NOT NULL,
    claim_time INTEGER,
    create_time INTEGER NOT NULL,
    complete_time INTEGER,
    PRIMARY KEY (brand_id, recomputation_id),
    CONSTRAINT recomputation_cause_known CHECK (cause IN ('POLICY', 'REQUEST')),
    CONSTRAINT recomputation_place_whole CHECK ((last_order_time IS NULL) = (last_order_id IS NULL)),
    CONSTRAINT recomputation_counts CHECK (changed_count BETWEEN 0 AND evaluated_count)
) STRICT, WITHOUT ROWID;
CREATE INDEX recomputation_running ON recomputation (brand_id, recomputation_id) WHERE complete_time IS NULL;
CREATE UNIQUE INDEX recomputation_one_by_request ON recomputation (brand_id) WHERE cause = 'REQUEST' AND complete_time IS NULL;
