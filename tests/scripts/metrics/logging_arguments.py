"""A logger with arguments, in the way that linters ask for; it writes to standard error."""

import logging

LR = 0.1
LOGGER = logging.getLogger(__name__)
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

for epoch in range(3):
    loss = (LR - 0.3) ** 2
    LOGGER.debug("debug loss %.3f", loss)
    LOGGER.info("epoch %d: valid loss: %.4f, valid bpc %8.3f", epoch, loss, loss / 0.693)
