"""Our client against bleak-esphome's over a virtual proxy: connects, reads, notifications."""
