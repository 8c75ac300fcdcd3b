"""What a cluster costs: links and advertisements over the bus against one owner, and its growth."""
