package rig;

import io.eventuate.common.json.mapper.JSonMapper;
import io.eventuate.tram.commands.common.ReplyMessageHeaders;
import io.eventuate.tram.commands.consumer.CommandDispatcherFactory;
import io.eventuate.tram.commands.consumer.CommandHandlerReplyBuilder;
import io.eventuate.tram.commands.consumer.CommandHandlersBuilder;
import io.eventuate.tram.commands.consumer.CommandMessage;
import io.eventuate.tram.commands.producer.CommandProducer;
import io.eventuate.tram.events.common.DomainEvent;
import io.eventuate.tram.events.publisher.DomainEventPublisher;
import io.eventuate.tram.events.subscriber.DomainEventDispatcherFactory;
import io.eventuate.tram.events.subscriber.DomainEventEnvelope;
import io.eventuate.tram.events.subscriber.DomainEventHandlersBuilder;
import io.eventuate.tram.messaging.common.Message;
import io.eventuate.tram.messaging.consumer.MessageConsumer;
import io.eventuate.tram.spring.commands.consumer.TramCommandConsumerConfiguration;
import io.eventuate.tram.spring.commands.producer.TramCommandProducerConfiguration;
import io.eventuate.tram.spring.events.publisher.TramEventsPublisherConfiguration;
import io.eventuate.tram.spring.events.subscriber.TramEventSubscriberConfiguration;
import io.eventuate.tram.spring.jdbckafka.TramJdbcKafkaConfiguration;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.transaction.support.TransactionTemplate;

/**
 * Writes events and commands, some of them in transactions that are rolled back, and handles them with subscribers in
 * their default settings: read_uncommitted, and duplicates absorbed by received_messages. What handlers do is in the
 * database, in the transaction of received_messages, so that it counts once however often Kafka holds a message.
 */
public final class Services {
  /** What an application has to name; the rest comes by itself. */
  @Configuration
  @EnableAutoConfiguration
  @Import({TramJdbcKafkaConfiguration.class, TramEventsPublisherConfiguration.class, TramEventSubscriberConfiguration.class,
      TramCommandProducerConfiguration.class, TramCommandConsumerConfiguration.class})
  public static class Application {}

  private static final int WRITERS = 4;
  private static final int AGGREGATES_PER_WRITER = 5;
  private static final long PATIENCE_MILLIS = 90_000;

  private final JdbcTemplate jdbc;
  private final TransactionTemplate transactions;
  private final DomainEventPublisher events;
  private final CommandProducer commands;
  private final MessageConsumer consumer;
  /** What was committed: per aggregate the number of its events. */
  private final Map<String, Integer> committed = new ConcurrentHashMap<>();
  private final List<String> sent = Collections.synchronizedList(new ArrayList<>());
  private final List<String> wrong = Collections.synchronizedList(new ArrayList<>());

  private Services(ConfigurableApplicationContext context) {
    jdbc = context.getBean(JdbcTemplate.class);
    transactions = context.getBean(TransactionTemplate.class);
    events = context.getBean(DomainEventPublisher.class);
    commands = context.getBean(CommandProducer.class);
    consumer = context.getBean(MessageConsumer.class);
  }

  static void main() throws Exception {
    Map<String, Object> properties = new HashMap<>();
    properties.put("eventuatelocal.kafka.bootstrap.servers", Rig.env("RIG_KAFKA"));
    properties.put("eventuate.database.schema", Rig.schema());
    if (!Rig.OUTBOX_ID.isEmpty()) {
      properties.put("eventuate.outbox.id", Rig.OUTBOX_ID);
    }
    properties.put("spring.datasource.url", Rig.env("RIG_JDBC"));
    properties.put("spring.datasource.driver-class-name", Rig.POSTGRES ? "org.postgresql.Driver" : "com.mysql.cj.jdbc.Driver");
    properties.put("spring.main.banner-mode", "off");
    properties.put("logging.level.root", "WARN");
    boolean good;
    try (ConfigurableApplicationContext context =
        new SpringApplicationBuilder(Application.class).web(WebApplicationType.NONE).properties(properties).run()) {
      Services services = new Services(context);
      services.subscribe(context);
      services.write();
      good = services.judge();
    }
    System.exit(good ? 0 : 1);
  }

  private void subscribe(ConfigurableApplicationContext context) {
    context.getBean(DomainEventDispatcherFactory.class).make(Rig.PREFIX + "events", DomainEventHandlersBuilder.forAggregateType(Rig.ORDERS)
        .onEvent(Model.Placed.class, this::handle).onEvent(Model.Changed.class, this::handle).build());
    context.getBean(CommandDispatcherFactory.class).make(Rig.PREFIX + "workers",
        CommandHandlersBuilder.fromChannel(Rig.WORK).onMessage(Model.Work.class, this::work).build());
    consumer.subscribe(Rig.PREFIX + "customers", Set.of(Rig.REPLIES), this::reply);
  }

  private <E extends Model.Placed> void handle(DomainEventEnvelope<E> envelope) {
    E event = envelope.getEvent();
    if (event.rolledBack || !event.aggregate.equals(envelope.getAggregateId()) || !event.note.equals(new Model.Placed().note)) {
      wrong.add("event " + envelope.getMessage());
    }
    jdbc.update("INSERT INTO " + Rig.schema() + ".handled_event (aggregate, n) VALUES (?, ?)", event.aggregate, event.n);
  }

  private Message work(CommandMessage<Model.Work> message) {
    if (message.getCommand().rolledBack) {
      wrong.add("command " + message.getCommand().no);
    }
    jdbc.update("INSERT INTO " + Rig.schema() + ".handled_command (command) VALUES (?)", message.getCommand().no);
    Model.Done done = new Model.Done();
    done.no = message.getCommand().no;
    return CommandHandlerReplyBuilder.withSuccess(done);
  }

  private void reply(Message message) {
    String no = JSonMapper.fromJson(message.getPayload(), Model.Done.class).no;
    if (!message.hasHeader(ReplyMessageHeaders.IN_REPLY_TO)) {
      wrong.add("reply " + message);
    }
    jdbc.update("INSERT INTO " + Rig.schema() + ".handled_reply (command) VALUES (?)", no);
  }

  private void write() throws InterruptedException {
    System.out.println("writing");
    Path stop = Path.of(Rig.env("RIG_STOP"));
    List<Thread> writers = new ArrayList<>();
    for (int w = 0; w < WRITERS; w++) {
      int writer = w;
      Thread thread = new Thread(() -> {
        try {
          Random random = new Random(writer);
          for (int i = 0; !Files.exists(stop); i++) {
            transaction(writer, i, random);
            Thread.sleep(random.nextInt(10));
          }
        } catch (Exception e) {
          wrong.add("writer " + writer + ": " + e);
        }
      });
      thread.start();
      writers.add(thread);
    }
    for (Thread thread : writers) {
      thread.join();
    }
  }

  /** One transaction: some events of an aggregate that only this writer has, now and then a command. */
  private void transaction(int writer, int i, Random random) {
    String aggregate = "order-" + writer + "-" + random.nextInt(AGGREGATES_PER_WRITER);
    int count = 1 + random.nextInt(3);
    boolean rollBack = random.nextInt(4) == 0;
    String no = i % 3 == 0 ? writer + "-" + i : null;
    int before = committed.getOrDefault(aggregate, 0);
    transactions.executeWithoutResult(status -> {
      List<DomainEvent> list = new ArrayList<>();
      for (int n = 1; n <= count; n++) {
        Model.Placed event = n % 2 == 1 ? new Model.Placed() : new Model.Changed();
        event.aggregate = aggregate;
        event.n = before + n;
        event.rolledBack = rollBack;
        list.add(event);
      }
      events.publish(Rig.ORDERS, aggregate, list);
      if (no != null) {
        Model.Work work = new Model.Work();
        work.no = no;
        work.rolledBack = rollBack;
        commands.send(Rig.WORK, work, Rig.REPLIES, Collections.emptyMap());
      }
      if (rollBack) {
        status.setRollbackOnly();
      }
    });
    if (rollBack) {
      return;
    }
    committed.put(aggregate, before + count);
    if (no != null) {
      sent.add(no);
    }
  }

  /** Waits for everything to be handled, then says whether it was handled once and in order. */
  private boolean judge() throws InterruptedException {
    int wanted = committed.values().stream().mapToInt(Integer::intValue).sum();
    long end = System.currentTimeMillis() + PATIENCE_MILLIS;
    while (System.currentTimeMillis() < end
        && (count("handled_event") < wanted || count("handled_command") < sent.size() || count("handled_reply") < sent.size())) {
      Thread.sleep(100);
    }
    Thread.sleep(1000); // for what should not come
    consumer.close(); // or the groups keep their members until they are given up
    Map<String, Integer> last = new TreeMap<>();
    for (Map<String, Object> row : jdbc.queryForList("SELECT aggregate, n FROM " + Rig.schema() + ".handled_event ORDER BY no")) {
      String aggregate = (String) row.get("aggregate");
      int n = ((Number) row.get("n")).intValue();
      if (n != last.getOrDefault(aggregate, 0) + 1) {
        wrong.add("event " + n + " of " + aggregate + " was handled after event " + last.getOrDefault(aggregate, 0));
      }
      last.put(aggregate, n);
    }
    committed.forEach((aggregate, n) -> {
      if (!n.equals(last.get(aggregate))) {
        wrong.add("the last event of " + aggregate + " to be handled is " + last.get(aggregate) + ", want " + n);
      }
    });
    for (String table : List.of("handled_command", "handled_reply")) {
      List<String> got = jdbc.queryForList("SELECT command FROM " + Rig.schema() + "." + table, String.class);
      Collections.sort(got);
      List<String> want = new ArrayList<>(sent);
      Collections.sort(want);
      if (!got.equals(want)) {
        wrong.add(table + ": " + got.size() + " rows, want " + want.size() + " with the numbers that were sent");
      }
    }
    int copies = Copies.beyondOne();
    System.out.printf("%d events of %d aggregates, %d commands and as many replies; %d more copies in Kafka, absorbed by received_messages%n",
        wanted, committed.size(), sent.size(), copies);
    if (copies == 0) {
      wrong.add("no message has a second copy: the test did not try what it is for");
    }
    wrong.stream().limit(20).forEach(w -> System.out.println("WRONG: " + w));
    return wrong.isEmpty();
  }

  private int count(String table) {
    return jdbc.queryForObject("SELECT COUNT(*) FROM " + Rig.schema() + "." + table, Integer.class);
  }
}
