"""The playground: one page, without a network, on which optimizers run down surfaces as fast as a slider moves.

`page` gives its HTML. The rules' steps and the surfaces are JavaScript that is printed from their Python; the rest of
the page, in the folder `web`, knows no formula.
"""

from stepwell.pages.playground.page import page as page
