"""Learn how wav2vec 2.0 turns waveforms of any length into frames of 768 features."""
