# What of scripts/demo differs by database: PostgreSQL.
# It uses database, and sets what scripts/demo uses.
# shellcheck shell=bash disable=SC2034,SC2154

source_url=${STACK_PG_URL/\/postgres\?/\/$database?}
sql=("$STACK_PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 "$source_url")
admin=("$STACK_PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 "$STACK_PG_URL")
ready="it has its slot, its publication and its checkpoint topic"

create_database() { "${admin[@]}" -c "CREATE DATABASE $database"; }

# A slot that is left keeps the database from being dropped.
drop_database() {
  "${admin[@]}" >/dev/null 2>&1 <<SQL || true
    SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = '$database' AND active;
    SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '$database';
    DROP DATABASE IF EXISTS $database WITH (FORCE);
SQL
}

schema() {
  cat <<SQL
CREATE TABLE orders (
    id      text PRIMARY KEY,
    status  text NOT NULL
);
CREATE TABLE outbox (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    aggregatetype text NOT NULL,
    aggregateid   text NOT NULL,
    type          text NOT NULL,
    payload       jsonb,
    created_at    timestamptz NOT NULL DEFAULT now()
);
SQL
}

# save_order ORDER STATUS
save_order() {
  echo "INSERT INTO orders VALUES ('$1', '$2') ON CONFLICT (id) DO UPDATE SET status = excluded.status;"
}

# list_outbox prints key and header of each message that must come, by key and in order.
list_outbox() {
  "${sql[@]}" -At -F $'\t' -c \
    "SELECT aggregateid, 'id:' || id FROM outbox ORDER BY aggregateid COLLATE \"C\", (payload->>'n')::int"
}
