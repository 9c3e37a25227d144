# Kafka Connect and Debezium's connectors for scripts/stack: only fetched, benchmarks start them themselves.
# shellcheck shell=bash
#
# $STACK_DIR/dist/connect-VERSION holds the jars of the worker, $STACK_DIR/dist/debezium-VERSION/SOURCE those of a
# connector.

debezium_version=3.6.1.Final
# The connector for MariaDB of 3.6.1 is not published as an artifact of its own; the last that is to be had stands in
# the distribution of Debezium Server, 780 MB.
debezium_mariadb_version=3.6.0.Final
# Newer versions of this plugin want the parents of an artifact too, and that distribution's are not published.
maven_get=org.apache.maven.plugins:maven-dependency-plugin:2.8:get

# shellcheck disable=SC2154 # lib/kafka.sh says which version
connect_dist() { echo "$STACK_DIR/dist/connect-$kafka_version"; }

# debezium_dist SOURCE
debezium_dist() {
  case $1 in
    mariadb) echo "$STACK_DIR/dist/debezium-$debezium_mariadb_version/$1" ;;
    *) echo "$STACK_DIR/dist/debezium-$debezium_version/$1" ;;
  esac
}

# maven_file GROUP:ARTIFACT:VERSION:TYPE[:CLASSIFIER] FILE fetches one artifact alone.
maven_file() {
  mvn -B -q -ntp "$maven_get" -Dtransitive=false "-Dartifact=$1" "-Ddest=$2" >"$2.log" 2>&1 </dev/null ||
    die_with_log "Maven could not fetch $1" "$2.log"
}

# debezium_fetch SOURCE
# shellcheck disable=SC2154
debezium_fetch() {
  local source=$1 connect dist
  local -a jars
  need java mvn
  connect=$(connect_dist)
  if [[ ! -d $connect ]]; then
    say "fetching Kafka Connect $kafka_version"
    rm -rf "$connect.new"
    mkdir -p "$connect.new"
    maven_copy "$connect.new" "org.apache.kafka:connect-runtime:$kafka_version" \
      "org.apache.logging.log4j:log4j-slf4j-impl:$kafka_log4j_version"
    mv "$connect.new" "$connect"
  fi
  dist=$(debezium_dist "$source")
  [[ -d $dist ]] && return 0
  say "fetching Debezium's connector for $source"
  rm -rf "$dist.new"
  mkdir -p "$dist.new"
  if [[ $source == mariadb ]]; then
    maven_file "io.debezium:debezium-server-dist:$debezium_mariadb_version:tar.gz" "$dist.new/archive"
    jars=(debezium-server/lib/debezium-{api,config,connect-plugins,connector-binlog,connector-common,connector-mariadb,ddl-parser} \
      debezium-server/lib/debezium-{openlineage-api,storage-file,storage-kafka,util} \
      debezium-server/lib/{antlr4-runtime,mariadb-java-client,mysql-binlog-connector-java,sketches-java,zstd-jni})
    tar -xzf "$dist.new/archive" -C "$dist.new" --strip-components=2 --wildcards "${jars[@]/%/-[0-9]*.jar}"
  else
    maven_file "io.debezium:debezium-connector-$source:$debezium_version:tar.gz:plugin" "$dist.new/archive"
    tar -xzf "$dist.new/archive" -C "$dist.new" --strip-components=1
  fi
  [[ -n $(find "$dist.new" -name "debezium-connector-$source-*.jar") ]] ||
    die "no connector for $source was in what Maven brought"
  rm -f "$dist.new"/archive*
  mv "$dist.new" "$dist"
}

debezium_env() {
  export_line STACK_CONNECT_CLASSPATH "$(connect_dist)/*"
  export_line STACK_DEBEZIUM "$(debezium_dist "$1")"
  export_line STACK_JAVA "$(find_java)"
}
