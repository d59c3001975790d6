-- What messages are found by: see index.go. It has a partition for each month, as
-- the log itself.

-- +goose Up
CREATE TABLE search (
    term BIGINT NOT NULL, -- begins the SHA-256 of what is searched for
    time BIGINT NOT NULL,
    seq  BIGINT NOT NULL,
    PRIMARY KEY (term, time, seq)
) PARTITION BY RANGE (time);
CREATE TABLE search_other PARTITION OF search DEFAULT;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION events_month(first BIGINT) RETURNS BOOLEAN
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    month TIMESTAMP := date_trunc('month', to_timestamp(first / 1000000) AT TIME ZONE 'UTC');
    low   BIGINT := extract(epoch FROM month AT TIME ZONE 'UTC')::BIGINT * 1000000;
    high  BIGINT := extract(epoch FROM (month + INTERVAL '1 month') AT TIME ZONE 'UTC')::BIGINT * 1000000;
    name  TEXT := to_char(month, 'YYYYMM');
BEGIN
    IF to_regclass('events_' || name) IS NOT NULL THEN
        RETURN true;
    END IF;
    IF EXISTS (SELECT 1 FROM events_other WHERE time >= low AND time < high) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)', 'events_' || name, low, high);
    EXECUTE format('CREATE TABLE %I PARTITION OF search FOR VALUES FROM (%L) TO (%L)', 'search_' || name, low, high);
    RETURN true;
END
$$;
-- +goose StatementEnd
