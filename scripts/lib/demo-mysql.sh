# What of scripts/demo differs by database: MySQL and MariaDB.
# It uses database, and sets what scripts/demo uses.
# shellcheck shell=bash disable=SC2034,SC2154

source_url=STACK_${SOURCE^^}_URL
source_url=${!source_url}$database
program=STACK_${SOURCE^^}_CLIENT port=STACK_${SOURCE^^}_PORT
read -ra admin <<<"${!program}" # the dynamic loader's command line may stand before it
admin+=(--no-defaults --user=root --host=127.0.0.1 "--port=${!port}" --default-character-set=utf8mb4)
sql=("${admin[@]}" "$database")
ready="it reads the binlog, and has its checkpoint topic"

create_database() { "${admin[@]}" -e "CREATE DATABASE $database"; }

drop_database() { "${admin[@]}" -e "DROP DATABASE IF EXISTS $database" >/dev/null 2>&1 || true; }

schema() {
  cat <<SQL
CREATE TABLE orders (
    id      varchar(64) PRIMARY KEY,
    status  varchar(64) NOT NULL
);
CREATE TABLE outbox (
    id            char(36) PRIMARY KEY DEFAULT (uuid()),
    aggregatetype varchar(255) NOT NULL,
    aggregateid   varchar(255) NOT NULL,
    type          varchar(255) NOT NULL,
    payload       json,
    created_at    datetime(6) NOT NULL DEFAULT now(6)
) CHARACTER SET utf8mb4;
SQL
}

# save_order ORDER STATUS
save_order() { echo "REPLACE INTO orders VALUES ('$1', '$2');"; }

# list_outbox prints key and header of each message that must come, by key and in order.
list_outbox() {
  "${sql[@]}" --batch --skip-column-names -e \
    "SELECT aggregateid, concat('id:', id) FROM outbox ORDER BY aggregateid COLLATE utf8mb4_bin, json_extract(payload, '$.n') + 0"
}
