-- Has the server tell this session of circuits that were changed by an order. Safe to repeat.
LISTEN fuseboard_circuits;
