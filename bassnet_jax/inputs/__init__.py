"""Where training windows come from: tf.data over TFDS files, or features in device memory."""
