"""Machine protocols behind one port; know no order, no shop, no MQTT."""
