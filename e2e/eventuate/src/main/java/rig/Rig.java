package rig;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;

/**
 * Services on Eventuate Tram, whose CDC is tailer. Everything about their world is in the environment:
 * RIG_DATABASE (name), RIG_ADMIN_JDBC (a URL of the server), RIG_JDBC (a URL of the database), RIG_KAFKA (brokers),
 * RIG_PREFIX (begins topics and subscribers), RIG_OUTBOX_ID (for ids of the database; empty for ids of the
 * application), RIG_STOP (a file that ends the writing).
 */
public final class Rig {
  static final String PREFIX = env("RIG_PREFIX");
  static final String ORDERS = PREFIX + "order";
  static final String WORK = PREFIX + "work";
  static final String REPLIES = PREFIX + "reply";
  static final boolean POSTGRES = env("RIG_JDBC").startsWith("jdbc:postgresql:");
  static final String OUTBOX_ID = env("RIG_OUTBOX_ID");

  private Rig() {}

  public static void main(String[] args) throws Exception {
    switch (args[0]) {
      case "prepare" -> prepare();
      case "remove" -> remove();
      case "run" -> Services.main();
      default -> throw new IllegalArgumentException(args[0]);
    }
  }

  static String env(String name) {
    String value = System.getenv(name);
    if (value == null) {
      throw new IllegalArgumentException(name + " is not set");
    }
    return value;
  }

  /** The schema of Eventuate's tables: on MySQL the database itself. */
  static String schema() {
    return POSTGRES ? "eventuate" : env("RIG_DATABASE");
  }

  private static void prepare() throws Exception {
    remove();
    execute(env("RIG_ADMIN_JDBC"), "CREATE DATABASE " + env("RIG_DATABASE") + (POSTGRES ? "" : " CHARACTER SET utf8mb4"));
    try (Connection c = DriverManager.getConnection(env("RIG_JDBC")); Statement s = c.createStatement()) {
      for (String sql : tables()) {
        s.execute(sql);
      }
    }
    try (Admin kafka = admin()) {
      kafka.createTopics(Stream.of(ORDERS, WORK, REPLIES).map(t -> new NewTopic(t, 4, (short) 1)).collect(Collectors.toList())).all().get();
    }
  }

  /** As Eventuate's own scripts have them, and three tables of what the services did. */
  private static List<String> tables() {
    String key = POSTGRES ? "VARCHAR(1000)" : "VARCHAR(255)";
    String text = POSTGRES ? "TEXT" : "LONGTEXT";
    String serial = POSTGRES ? "BIGSERIAL PRIMARY KEY" : "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY";
    String id = OUTBOX_ID.isEmpty() ? "id " + key + " PRIMARY KEY" : "dbid " + serial + ", id " + key;
    String schema = schema();
    List<String> list = new java.util.ArrayList<>();
    if (POSTGRES) {
      list.add("CREATE SCHEMA " + schema);
    }
    list.add("CREATE TABLE " + schema + ".message (" + id + ", destination " + text + " NOT NULL, headers " + text + " NOT NULL, payload "
        + text + " NOT NULL, published SMALLINT DEFAULT 0, message_partition SMALLINT, creation_time BIGINT)");
    list.add("CREATE TABLE " + schema + ".received_messages (consumer_id " + key + ", message_id " + key
        + ", creation_time BIGINT, published SMALLINT DEFAULT 0, PRIMARY KEY (consumer_id, message_id))");
    list.add("CREATE TABLE " + schema + ".handled_event (no " + serial + ", aggregate VARCHAR(100), n INT)");
    list.add("CREATE TABLE " + schema + ".handled_command (no " + serial + ", command VARCHAR(100))");
    list.add("CREATE TABLE " + schema + ".handled_reply (no " + serial + ", command VARCHAR(100))");
    return list;
  }

  private static void remove() throws Exception {
    execute(env("RIG_ADMIN_JDBC"), "DROP DATABASE IF EXISTS " + env("RIG_DATABASE") + (POSTGRES ? " WITH (FORCE)" : ""));
    try (Admin kafka = admin()) {
      Set<String> topics = kafka.listTopics().names().get().stream().filter(t -> t.startsWith(PREFIX)).collect(Collectors.toSet());
      kafka.deleteTopics(topics).all().get();
      while (kafka.listTopics().names().get().stream().anyMatch(t -> t.startsWith(PREFIX))) {
        Thread.sleep(100);
      }
      List<String> groups = kafka.listConsumerGroups().all().get().stream().map(g -> g.groupId()).filter(g -> g.startsWith(PREFIX))
          .collect(Collectors.toList());
      while (kafka.describeConsumerGroups(groups).all().get().values().stream().anyMatch(g -> !g.members().isEmpty())) {
        Thread.sleep(100); // a member that was killed is given up after its session's time
      }
      kafka.deleteConsumerGroups(groups).all().get();
    }
  }

  private static Admin admin() {
    return Admin.create(Map.of("bootstrap.servers", env("RIG_KAFKA")));
  }

  private static void execute(String url, String sql) throws SQLException {
    try (Connection c = DriverManager.getConnection(url); Statement s = c.createStatement()) {
      s.execute(sql);
    }
  }
}
