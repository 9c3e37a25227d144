# Programs that the scripts rely on, and the Debian packages that bring them.
# Sourced by scripts/stack and scripts/need; sourcing it does nothing but define functions.
# shellcheck shell=bash

# find_java prints the first java of version 17 or newer (Kafka 4 wants that), or fails.
find_java() {
  local candidate major
  for candidate in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java || true)" /usr/lib/jvm/*/bin/java; do
    [[ -n $candidate && -x $candidate ]] || continue
    [[ "$("$candidate" -version 2>&1)" =~ version\ \"([0-9]+) ]] || continue
    major=${BASH_REMATCH[1]}
    if ((major >= 17)); then
      echo "$candidate"
      return 0
    fi
  done
  return 1
}

# find_postgres_bin prints the folder of the newest installed PostgreSQL that holds server and client programs.
# Debian keeps them out of PATH, one folder a major version.
find_postgres_bin() {
  local bin newest=
  while read -r bin; do
    if [[ -x $bin/initdb && -x $bin/pg_ctl && -x $bin/psql && -x $bin/pg_recvlogical ]]; then
      newest=$bin
    fi
  done < <({ printf '%s\n' /usr/lib/postgresql/*/bin; pg_config --bindir 2>/dev/null || true; } | sort -V)
  [[ -n $newest ]] && echo "$newest"
}

# present NEED: is what this word stands for there already?
present() {
  case $1 in
    java) find_java >/dev/null ;;
    postgres) find_postgres_bin >/dev/null ;;
    mariadbd) [[ -x /usr/sbin/mariadbd && -x /usr/bin/mariadb-install-db ]] ;;
    # A compiler without the C library's headers cannot build what cgo (and with it the race detector) needs.
    cc) command -v gcc >/dev/null && [[ -e /usr/include/stdlib.h ]] ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

# packages_of NEED prints the Debian packages that bring it.
packages_of() {
  case $1 in
    java) echo openjdk-17-jre-headless ;;
    mvn) echo maven ;;
    postgres) echo postgresql ;;
    # The core packages hold the programs alone: no account, no service that starts by itself.
    mariadbd) echo mariadb-server-core ;;
    mariadb | mariadb-binlog) echo mariadb-client ;;
    xz) echo xz-utils ;;
    cc) echo gcc libc6-dev ;;
    unzip | make | curl | shellcheck) echo "$1" ;;
    *)
      echo "no Debian package is known for '$1'" >&2
      return 1
      ;;
  esac
}

# need WORD...: installs the packages behind the words that are missing, or says which ones to install.
need() {
  local word packages package
  local -a missing=()
  for word in "$@"; do
    if ! present "$word"; then
      packages=$(packages_of "$word") || return 1
      for package in $packages; do
        [[ " ${missing[*]} " == *" $package "* ]] || missing+=("$package")
      done
    fi
  done
  ((${#missing[@]})) || return 0

  if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    echo "install these packages (their names in Debian) and try again: ${missing[*]}" >&2
    return 1
  fi
  echo "installing ${missing[*]}" >&2
  apt_install "${missing[@]}" || return 1

  for word in "$@"; do
    if ! present "$word"; then
      echo "'$word' is still missing after its packages were installed" >&2
      return 1
    fi
  done
}

# apt_install PACKAGE...: quiet unless it fails.
#
# Debian's postgresql package creates and starts a database cluster on the default port when it is first
# installed. Nobody asked for that server, so a drop-in tells it not to, for the time of the installation.
apt_install() {
  local drop_in=/etc/postgresql-common/createcluster.d/tailer-stack.conf log rc=0
  log=$(mktemp)
  mkdir -p "${drop_in%/*}"
  echo 'create_main_cluster = false' >"$drop_in"
  {
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 -q update &&
      apt-get -o DPkg::Lock::Timeout=300 -q -y --no-install-recommends install "$@"
  } >"$log" 2>&1 </dev/null || rc=$?
  rm -f "$drop_in"
  rmdir --ignore-fail-on-non-empty -p "${drop_in%/*}" 2>/dev/null || true
  if ((rc)); then
    echo "apt-get could not install $*:" >&2
    tail -n 20 "$log" >&2
  fi
  rm -f "$log"
  return "$rc"
}
