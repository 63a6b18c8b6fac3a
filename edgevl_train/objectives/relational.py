"""Relations instead of points: how alike a batch's images are to each other."""

from torch import Tensor


def relational_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean square of what the two B x B matrices of cosines differ by (similarity-preserving KD, arXiv 1907.09682).

    The paper scales each row to unit length; cosines have one scale already. The diagonal is 1 in both. A student
    that has turned the whole space has a distance of 0: it is no substitute for a distance to the embedding.

    Args:
        student, teacher: (B, D), L2-normalised.
    """
    return (student @ student.T - teacher @ teacher.T).square().mean()
