# Apache Kafka for scripts/stack: servers kafka (one broker) and kafka3 (three).
# shellcheck shell=bash
#
# Every node is broker and controller in one JVM. Node I of server NAME lives in $STACK_DIR/NAME/I:
# data/, server.properties, log4j2.xml, server.log (Kafka's own), stdout.log (the JVM's), pid.

kafka_version=4.3.1
# The distribution brings this binding of slf4j to log4j; Kafka's poms on Maven do not name it.
kafka_log4j_version=2.25.4

kafka_needs() { echo java mvn openssl; }

kafka_nodes() {
  case $1 in
    kafka) echo 1 ;;
    kafka3) echo 1 2 3 ;;
  esac
}

kafka_classpath() { echo "$STACK_DIR/dist/kafka-$kafka_version/*"; }

kafka_fetch() {
  local dist=$STACK_DIR/dist/kafka-$kafka_version
  [[ -d $dist ]] && return 0
  say "fetching Kafka $kafka_version"
  rm -rf "$dist.new"
  mkdir -p "$dist.new"
  maven_copy "$dist.new" \
    "org.apache.kafka:kafka_2.13:$kafka_version" \
    "org.apache.kafka:kafka-tools:$kafka_version" \
    "org.apache.logging.log4j:log4j-slf4j-impl:$kafka_log4j_version"
  mv "$dist.new" "$dist"
}

# kafka_node_pid NAME I prints the pid of a running node: the process of the pid file, if it is ours still.
kafka_node_pid() {
  local home=$STACK_DIR/$1/$2 pid
  [[ -r $home/pid ]] || return 1
  read -r pid <"$home/pid" || return 1
  is_process "$pid" "$home/server.properties" && echo "$pid"
}

# A server runs when all its nodes do: `up` then starts those that are missing.
kafka_running() {
  local node
  for node in $(kafka_nodes "$1"); do
    kafka_node_pid "$1" "$node" >/dev/null || return 1
  done
}

# kafka_faults are the numbers of the listeners for faulty ways to a broker: several, for tests that run side by side.
kafka_faults=(1 2 3 4)

# kafka_configure NAME writes the configuration of the nodes that do not run, and formats their storage.
kafka_configure() {
  local name=$1 node home voters='' replicas=1 in_sync=1 expiry='' fault listen advertise plain
  local -a nodes
  read -ra nodes <<<"$(kafka_nodes "$name")"
  if ((${#nodes[@]} == 3)); then
    replicas=3 in_sync=2
    # Who is silent for so long is forgotten: the default is a week.
    expiry=$'transactional.id.expiration.ms=15000\ntransaction.remove.expired.transaction.cleanup.interval.ms=1000'
  fi
  mkdir -p "$STACK_DIR/$name"
  certificates
  if [[ ! -e $STACK_DIR/$name/cluster.id ]]; then
    # 16 random bytes in URL-safe base64. A leading dash would look like an option to the tool below.
    head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=' | sed 's/^-/T/' >"$STACK_DIR/$name/cluster.id"
  fi
  for node in "${nodes[@]}"; do
    # Not the advertised ports of FAULT1 and on: a proxy that listens there meanwhile is meant to.
    kafka_node_pid "$name" "$node" >/dev/null ||
      free_port "$name-$node" "$name-$node-controller" "$name-$node-secure" "$name-$node-mtls" \
        "${kafka_faults[@]/#/$name-$node-fault}" >/dev/null
    voters+=${voters:+,}$node@127.0.0.1:$(port "$name-$node-controller")
  done

  for node in "${nodes[@]}"; do
    kafka_node_pid "$name" "$node" >/dev/null && continue
    home=$STACK_DIR/$name/$node
    mkdir -p "$home"
    # The voters are static: that works alike for one node and three and lets ports change.
    # SECURE (SASL over TLS) is for people with names, whose rights the authorizer checks; plain text, and MTLS with
    # the client's certificate, may do everything.
    # FAULT1 and on: whoever connects to one is told to go on to a port where no broker listens; a test puts its own
    # proxy there and can then cut, delay or rewrite what passes.
    listen="" advertise="" plain=""
    for fault in "${kafka_faults[@]}"; do
      listen+=,FAULT$fault://127.0.0.1:$(port "$name-$node-fault$fault")
      advertise+=,FAULT$fault://127.0.0.1:$(port "$name-$node-fault$fault-advertised")
      plain+=,FAULT$fault:PLAINTEXT
    done
    cat >"$home/server.properties" <<CONF
process.roles=broker,controller
node.id=$node
controller.quorum.voters=$voters
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://127.0.0.1:$(port "$name-$node"),CONTROLLER://127.0.0.1:$(port "$name-$node-controller")$listen,SECURE://127.0.0.1:$(port "$name-$node-secure"),MTLS://127.0.0.1:$(port "$name-$node-mtls")
advertised.listeners=PLAINTEXT://127.0.0.1:$(port "$name-$node")$advertise,SECURE://127.0.0.1:$(port "$name-$node-secure"),MTLS://127.0.0.1:$(port "$name-$node-mtls")
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT$plain,SECURE:SASL_SSL,MTLS:SSL
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location=$STACK_DIR/tls/server.chain.pem
listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_plain="plain-secret";
listener.name.secure.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
listener.name.mtls.ssl.keystore.type=PEM
listener.name.mtls.ssl.keystore.location=$STACK_DIR/tls/server.chain.pem
listener.name.mtls.ssl.truststore.type=PEM
listener.name.mtls.ssl.truststore.location=$STACK_DIR/tls/ca.pem
listener.name.mtls.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:CN=client
log.dirs=$home/data
auto.create.topics.enable=false
default.replication.factor=$replicas
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=5
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$in_sync
share.coordinator.state.topic.num.partitions=5
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=33554432
$expiry
CONF
    cat >"$home/log4j2.xml" <<CONF
<Configuration status="error">
  <Appenders>
    <File name="file" fileName="$home/server.log"><PatternLayout pattern="%d %p %c %m%n"/></File>
  </Appenders>
  <Loggers>
    <Logger name="kafka.server.KafkaRaftServer" level="info"/>
    <Root level="warn"><AppenderRef ref="file"/></Root>
  </Loggers>
</Configuration>
CONF
    if [[ ! -e $home/data/meta.properties ]]; then
      kafka_tool kafka.tools.StorageTool format --config "$home/server.properties" \
        --cluster-id "$(<"$STACK_DIR/$name/cluster.id")" >"$home/format.log" 2>&1 ||
        die_with_log "formatting the storage of $name failed" "$home/format.log"
    fi
  done
}

# kafka_tool CLASS ARGUMENT...: one of Kafka's command line programs, started as fast as a JVM can be.
kafka_tool() {
  "$(find_java)" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -cp "$(kafka_classpath)" "$@" </dev/null
}

# kafka_spawn NAME I starts one node and does not wait for it.
kafka_spawn() {
  local home=$STACK_DIR/$1/$2 java
  java=$(find_java)
  touch "$home/server.log"
  stat -c %s "$home/server.log" >"$home/log.start" # kafka_await reads on from here
  # setsid keeps the terminal's Ctrl-C and hang-up away; because a shell's background child leads no process
  # group it does not fork, and $! is the JVM.
  (
    close_descriptors
    exec setsid "$java" "-Xmx${STACK_KAFKA_HEAP:-512m}" -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
      -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true "-Dlog4j2.configurationFile=$home/log4j2.xml" \
      -cp "$(kafka_classpath)" kafka.Kafka "$home/server.properties" </dev/null >"$home/stdout.log" 2>&1
  ) &
  echo $! >"$home/pid"
}

kafka_start() {
  local name=$1 node ports=''
  kafka_configure "$name"
  for node in $(kafka_nodes "$name"); do
    ports+=${ports:+, }$(port "$name-$node")
  done
  say "starting $name ($kafka_version, port $ports)"
  for node in $(kafka_nodes "$name"); do
    kafka_node_pid "$name" "$node" >/dev/null || kafka_spawn "$name" "$node"
  done
}

kafka_await() {
  local node
  for node in $(kafka_nodes "$1"); do
    kafka_await_node "$1" "$node"
  done
}

kafka_await_node() {
  local name=$1 node=$2 home=$STACK_DIR/$1/$2 from dead=0
  from=$(<"$home/log.start")
  for ((i = 0; i < 600; i++)); do
    if kafka_node_pid "$name" "$node" >/dev/null; then
      # The port opens before the node takes part, so its own word is waited for as well.
      if grep -q 'Kafka Server started' < <(tail -c "+$((from + 1))" "$home/server.log") &&
        port_answers "$(port "$name-$node")"; then
        return 0
      fi
    elif ((++dead > 20)); then # 2 s: until the child has become a JVM its command line is not its own
      break
    fi
    sleep 0.1
  done
  die_with_log "$name (node $node) did not become ready" "$home/stdout.log" "$home/server.log"
}

kafka_stop() {
  local name=$1 node pid left
  for node in $(kafka_nodes "$name"); do
    pid=$(kafka_node_pid "$name" "$node") && kill -TERM "$pid"
  done
  # Three nodes that stop together cannot hand over to each other and would wait long for a quorum.
  for ((i = 0; i < 100; i++)); do
    left=0
    for node in $(kafka_nodes "$name"); do
      kafka_node_pid "$name" "$node" >/dev/null && left=1
    done
    ((left)) || break
    sleep 0.1
  done
  for node in $(kafka_nodes "$name"); do
    pid=$(kafka_node_pid "$name" "$node") && kill -KILL "$pid"
    rm -f "$STACK_DIR/$name/$node/pid"
  done
}

kafka_describe() {
  local node text=''
  for node in $(kafka_nodes "$1"); do
    text+=${text:+; }"port $(port "$1-$node"), pid $(kafka_node_pid "$1" "$node")"
  done
  echo "$text"
}

kafka_env() {
  local name=$1 node fault way brokers='' pids='' faults='' prefix=STACK_KAFKA${1#kafka}
  for node in $(kafka_nodes "$name"); do
    brokers+=${brokers:+,}127.0.0.1:$(port "$name-$node")
    pids+=${pids:+,}$(kafka_node_pid "$name" "$node")
  done
  for fault in "${kafka_faults[@]}"; do
    way=
    for node in $(kafka_nodes "$name"); do
      way+=${way:+,}127.0.0.1:$(port "$name-$node-fault$fault-advertised")/127.0.0.1:$(port "$name-$node-fault$fault")
    done
    faults+=${faults:+ }$way
  done
  export_line "$prefix" "$brokers"
  export_line "${prefix}_FAULTS" "$faults"
  export_line STACK_KAFKA_CLASSPATH "$(kafka_classpath)"
  export_line STACK_JAVA "$(find_java)"
  if [[ $name == kafka3 ]]; then
    export_line STACK_KAFKA3_PIDS "$pids"
  else
    export_line STACK_KAFKA_PID "$pids"
    export_line STACK_KAFKA_LOG "$STACK_DIR/$name/1/server.log"
    export_line STACK_KAFKA_SECURE "127.0.0.1:$(port "$name-1-secure")"
    export_line STACK_KAFKA_MTLS "127.0.0.1:$(port "$name-1-mtls")"
    export_line STACK_TLS_DIR "$STACK_DIR/tls"
  fi
}
