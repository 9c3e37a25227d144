package rig;

import io.eventuate.tram.commands.common.Command;
import io.eventuate.tram.events.common.DomainEvent;

/** What the rig's services tell each other. */
final class Model {
  private Model() {}

  /** The n-th event of an aggregate, from 1 on, in commit order. */
  public static class Placed implements DomainEvent {
    public String aggregate;
    public int n;
    public boolean rolledBack;
    public String note = "größe € 🚀 \"quoted\" \\ <&> \u2028 \t";
  }

  /** Another type of event; it counts on. */
  public static class Changed extends Placed {}

  public static class Work implements Command {
    public String no;
    public boolean rolledBack;
  }

  public static class Done {
    public String no;
  }
}
