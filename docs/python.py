# %% [markdown]
# # Python

# %%
import gpatlas

print(gpatlas.__name__)
