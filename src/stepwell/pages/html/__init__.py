"""One offline HTML page of any result files of the lab, alone or several together.

>>> from stepwell.pages import html
>>> sorted(html.known())
['stepwell.comparison', 'stepwell.doctor', 'stepwell.found_rate', 'stepwell.results']
"""

from stepwell.pages.html.page import page as page
from stepwell.pages.html.page import write as write
from stepwell.pages.html.reading import Unreadable as Unreadable
from stepwell.pages.html.reading import known as known
from stepwell.pages.html.reading import read as read
