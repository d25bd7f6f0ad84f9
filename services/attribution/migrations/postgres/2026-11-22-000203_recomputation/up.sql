-- Orders to be evaluated again, span by span: behind a policy, and by request.

CREATE TABLE recomputation (
    brand_id text NOT NULL,
    recomputation_id uuid NOT NULL,
    cause text NOT NULL,
    from_time timestamptz NOT NULL,
    until_time timestamptz NOT NULL,
    last_order_time timestamptz,
    last_order_id text COLLATE "C",
    evaluated_count bigint NOT NULL,
    changed_count bigint NOT NULL,
    claim_time timestamptz,
    create_time timestamptz NOT NULL,
    complete_time timestamptz,
    PRIMARY KEY (brand_id, recomputation_id),
    CONSTRAINT recomputation_cause_known CHECK (cause IN ('POLICY', 'REQUEST')),
    CONSTRAINT recomputation_place_whole CHECK ((last_order_time IS NULL) = (last_order_id IS NULL)),
    CONSTRAINT recomputation_counts CHECK (changed_count BETWEEN 0 AND evaluated_count)
);
COMMENT ON TABLE recomputation IS 'Spans of orders that are evaluated again from their facts, in the order of their time (SPEC 44).';
COMMENT ON COLUMN recomputation.brand_id IS 'The Brand. Never changes.';
COMMENT ON COLUMN recomputation.recomputation_id IS 'The recomputation. Never changes.';
COMMENT ON COLUMN recomputation.cause IS 'A policy that was set, or a request. Never changes.';
COMMENT ON COLUMN recomputation.from_time IS 'Only orders placed at or after it. Never changes.';
COMMENT ON COLUMN recomputation.until_time IS 'Only orders placed before it. Never changes.';
COMMENT ON COLUMN recomputation.last_order_time IS 'The time of the last order that was evaluated; absent before the first.';
COMMENT ON COLUMN recomputation.last_order_id IS 'The id of that order.';
COMMENT ON COLUMN recomputation.evaluated_count IS 'How many orders have been evaluated.';
COMMENT ON COLUMN recomputation.changed_count IS 'How many of them came to something else than before.';
COMMENT ON COLUMN recomputation.claim_time IS 'When a process took up the next orders; absent while none is at it. A claim that is old is void.';
COMMENT ON COLUMN recomputation.create_time IS 'When it was begun. Never changes.';
COMMENT ON COLUMN recomputation.complete_time IS 'When the last order was evaluated; absent until then.';
CREATE INDEX recomputation_running ON recomputation (brand_id, recomputation_id) WHERE complete_time IS NULL;
CREATE UNIQUE INDEX recomputation_one_by_request ON recomputation (brand_id) WHERE cause = 'REQUEST' AND complete_time IS NULL;
