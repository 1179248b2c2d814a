"""Sources of songs, one small module each; `data_pipeline.catalogue` says which dataset configuration uses which."""
