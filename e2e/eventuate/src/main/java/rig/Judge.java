package rig;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.eventuate.common.json.mapper.JSonMapper;
import io.eventuate.tram.commands.common.Command;
import io.eventuate.tram.commands.common.DefaultCommandNameMapping;
import io.eventuate.tram.commands.consumer.CommandDispatcher;
import io.eventuate.tram.commands.consumer.CommandHandlersBuilder;
import io.eventuate.tram.commands.consumer.CommandReplyProducer;
import io.eventuate.tram.events.common.DefaultDomainEventNameMapping;
import io.eventuate.tram.events.common.DomainEvent;
import io.eventuate.tram.events.subscriber.DomainEventDispatcher;
import io.eventuate.tram.events.subscriber.DomainEventHandlersBuilder;
import io.eventuate.tram.messaging.common.Message;
import io.eventuate.tram.messaging.common.MessageImpl;
import java.io.File;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * Asks the real consumers which rows would stop them, and compares that with the file that tailer's unit tests read:
 * a list of {"headers", "payload", "stops"}. Handlers take any JSON.
 */
public final class Judge {
  private static final List<String> EVENT = List.of("event-type", "event-aggregate-type", "event-aggregate-id");
  private static final List<String> COMMAND = List.of("command_type", "command__destination", "command_reply_to", "command_resource");

  private Judge() {}

  public static final class AnyEvent implements DomainEvent {
    @JsonCreator(mode = JsonCreator.Mode.DELEGATING)
    public AnyEvent(JsonNode any) {}
  }

  public static final class AnyCommand implements Command {
    @JsonCreator(mode = JsonCreator.Mode.DELEGATING)
    public AnyCommand(JsonNode any) {}
  }

  public static void main(String[] args) throws Exception {
    int wrong = 0, all = 0;
    for (JsonNode row : new ObjectMapper().readTree(new File(args[0]))) {
      all++;
      JsonNode payload = row.get("payload");
      String why = consume("{\"payload\":" + payload + ",\"headers\":" + row.get("headers").asText() + "}");
      if ((why != null) != row.get("stops").asBoolean()) {
        wrong++;
        System.out.println("WRONG: " + row + ": " + (why == null ? "does not stop a consumer" : "stops a consumer: " + why));
      }
    }
    System.out.printf("%d rows, %d not as the file says%n", all, wrong);
    System.exit(wrong == 0 && all > 0 ? 0 : 1);
  }

  /** The exception that ends a subscriber; null when it goes on. */
  private static String consume(String value) {
    try {
      Message message = JSonMapper.fromJson(value, MessageImpl.class);
      message.getId(); // for received_messages
      if (has(message, EVENT)) {
        new DomainEventDispatcher("d", DomainEventHandlersBuilder.forAggregateType("a").onEvent(AnyEvent.class, e -> {}).build(), null,
            new DefaultDomainEventNameMapping()).messageHandler(message);
      }
      if (has(message, COMMAND)) {
        new CommandDispatcher("c", CommandHandlersBuilder.fromChannel("c").onMessageReturningMessages(AnyCommand.class, m -> List.of()).build(), null,
            new DefaultCommandNameMapping(), new CommandReplyProducer(null)).messageHandler(message);
      }
      return null;
    } catch (Exception e) {
      return e.toString().lines().findFirst().orElse("");
    }
  }

  private static boolean has(Message message, List<String> names) {
    Map<String, String> headers = message.getHeaders();
    return Stream.of(names).flatMap(List::stream).anyMatch(headers::containsKey);
  }
}
