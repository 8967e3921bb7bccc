"""What runs show and what they do not: pure functions on arrays of losses, with nothing trained, read or drawn.

Lower losses are better; a run that diverged has a loss of ∞ or NaN, and is worse than any that did not.

>>> from stepwell.lab.statistics import verdict
>>> verdict([0.21, 0.19, 0.20, 0.22, 0.18, 0.20], [0.25, 0.24, 0.26, 0.23, 0.25, 0.24])
'better'
"""

from stepwell.lab.statistics.budget import Best as Best
from stepwell.lab.statistics.budget import Profile as Profile
from stepwell.lab.statistics.budget import Reached as Reached
from stepwell.lab.statistics.budget import expected_best as expected_best
from stepwell.lab.statistics.budget import performance_profile as performance_profile
from stepwell.lab.statistics.budget import time_to_target as time_to_target
from stepwell.lab.statistics.intervals import Interval as Interval
from stepwell.lab.statistics.intervals import interval as interval
from stepwell.lab.statistics.paired import Place as Place
from stepwell.lab.statistics.paired import Verdict as Verdict
from stepwell.lab.statistics.paired import differences as differences
from stepwell.lab.statistics.paired import level_of_a_pair as level_of_a_pair
from stepwell.lab.statistics.paired import noise_floor as noise_floor
from stepwell.lab.statistics.paired import ranking as ranking
from stepwell.lab.statistics.paired import verdict as verdict
from stepwell.lab.statistics.rates import Basin as Basin
from stepwell.lab.statistics.rates import BestRate as BestRate
from stepwell.lab.statistics.rates import basin as basin
from stepwell.lab.statistics.rates import best_rate as best_rate
from stepwell.lab.statistics.rates import divergence_edge as divergence_edge
from stepwell.lab.statistics.rates import seed_noise as seed_noise
