"""The parts PACE-ML stands on: journal, metadata, tracking, artefacts and model files."""
